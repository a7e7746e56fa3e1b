"""Messages between gateway and actors come out as they went in; anything else is refused."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wire import handoff

connections = st.builds(
    handoff.Connection,
    id=st.integers(0, 2**63 - 1),
    kind=st.sampled_from(["ws", "http"]),
    head=st.binary(max_size=100),
    peer=st.text(max_size=20),
    note=st.binary(max_size=100),
    unsent=st.binary(max_size=100),
    claims=st.none() | st.just({"sub": "x", "calls": ["a"]}),
)
numbers = st.integers(0, 2**63 - 1)
to_gateway = st.one_of(
    st.builds(handoff.Hello, name=st.just("ingest"), index=st.integers(0, 9), generation=numbers, pid=numbers),
    st.builds(handoff.Note, id=numbers, note=st.binary()),
    st.builds(handoff.Rest, id=numbers, rest=st.none() | st.binary()),
    st.builds(handoff.Answered, id=numbers),
    st.builds(handoff.Claim, id=numbers, key=st.binary()),
    st.builds(handoff.Closed, id=numbers),
    st.builds(handoff.HandBack, id=numbers),
    st.builds(handoff.Park, id=numbers, note=st.binary(), unsent=st.binary()),
    st.builds(handoff.Deposit, connection=connections, fresh=st.booleans()),
    st.just(handoff.Leaving()),
)
to_actor = st.one_of(
    st.just(handoff.Welcome()),
    st.builds(handoff.Offer, connection=connections, resumed=st.booleans()),
    st.builds(handoff.Supersede, id=numbers),
)


@given(to_gateway)
def test_to_the_gateway(message: handoff.ToGateway) -> None:
    """Each kind."""
    assert handoff.decode_to_gateway(handoff.encode(message)) == message


@given(to_actor)
def test_to_an_actor(message: handoff.ToActor) -> None:
    """Each kind."""
    assert handoff.decode_to_actor(handoff.encode(message)) == message


@given(st.binary(max_size=60))
def test_rubbish_is_refused_in_one_way(packet: bytes) -> None:
    """Nothing comes out but what is documented."""
    for decode in (handoff.decode_to_actor, handoff.decode_to_gateway):
        with suppress(*handoff.UNREADABLE):
            decode(packet)


def test_the_wrong_way_round() -> None:
    """What an actor says is nothing to an actor."""
    with pytest.raises(msgspec.ValidationError):
        handoff.decode_to_actor(handoff.encode(handoff.Leaving()))


def test_the_largest_there_is_fits() -> None:
    """With everything at its bound, a packet is taken whole."""
    largest = handoff.Connection(
        id=2**63,
        kind="ws",
        head=bytes(32 * 1024),
        peer="x" * 200,
        note=bytes(handoff.MAX_NOTE_BYTES),
        unsent=bytes(handoff.MAX_UNSENT_BYTES),
        claims={"calls": ["x" * 100] * 240},
    )
    for message in (handoff.Offer(connection=largest, resumed=True), handoff.Deposit(connection=largest)):
        assert len(handoff.encode(message)) <= handoff.MAX_PACKET_BYTES
