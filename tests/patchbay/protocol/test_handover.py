"""Messages between gateway and actors come out as they went in; anything else is refused."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.protocol import handover

connections = st.builds(
    handover.Connection,
    id=st.integers(0, 2**63 - 1),
    kind=st.sampled_from(["ws", "http"]),
    head=st.binary(max_size=100),
    peer=st.text(max_size=20),
    state=st.binary(max_size=100),
    unsent=st.binary(max_size=100),
    claims=st.none() | st.just({"sub": "x", "calls": ["a"]}),
)
numbers = st.integers(0, 2**63 - 1)
to_gateway = st.one_of(
    st.builds(handover.Hello, name=st.just("ingest"), index=st.integers(0, 9), generation=numbers, pid=numbers),
    st.builds(handover.SetState, id=numbers, state=st.binary()),
    st.builds(handover.Rest, id=numbers, rest=st.none() | st.binary()),
    st.builds(handover.Answered, id=numbers),
    st.builds(handover.Claim, id=numbers, key=st.binary()),
    st.builds(handover.Closed, id=numbers),
    st.builds(handover.HandBack, id=numbers),
    st.builds(handover.Park, id=numbers, state=st.binary(), unsent=st.binary()),
    st.builds(handover.Deposit, connection=connections, fresh=st.booleans()),
    st.just(handover.Leaving()),
)
to_actor = st.one_of(
    st.just(handover.Welcome()),
    st.builds(handover.Offer, connection=connections, resumed=st.booleans()),
    st.builds(handover.Supersede, id=numbers),
)


@given(to_gateway)
def test_to_the_gateway(message: handover.ToGateway) -> None:
    """Each kind."""
    assert handover.decode_to_gateway(handover.encode(message)) == message


@given(to_actor)
def test_to_an_actor(message: handover.ToActor) -> None:
    """Each kind."""
    assert handover.decode_to_actor(handover.encode(message)) == message


@given(st.binary(max_size=60))
def test_rubbish_is_refused_in_one_way(packet: bytes) -> None:
    """Nothing comes out but what is documented."""
    for decode in (handover.decode_to_actor, handover.decode_to_gateway):
        with suppress(*handover.UNREADABLE):
            decode(packet)


def test_the_wrong_way_round() -> None:
    """What an actor says is nothing to an actor."""
    with pytest.raises(msgspec.ValidationError):
        handover.decode_to_actor(handover.encode(handover.Leaving()))


def test_the_largest_there_is_fits() -> None:
    """With everything at its bound, a packet is taken whole."""
    largest = handover.Connection(
        id=2**63,
        kind="ws",
        head=bytes(32 * 1024),
        peer="x" * 200,
        state=bytes(handover.MAX_STATE_BYTES),
        unsent=bytes(handover.MAX_UNSENT_BYTES),
        claims={"calls": ["x" * 100] * 240},
    )
    for message in (handover.Offer(connection=largest, resumed=True), handover.Deposit(connection=largest)):
        assert len(handover.encode(message)) <= handover.MAX_PACKET_BYTES


def test_a_state_is_encoded_as_versions_before_do() -> None:
    """Gateway and actors of two versions meet in a roll: the tag and the order of the fields stay."""
    packet = msgspec.msgpack.encode(["Note", 1, b"state", 5])
    assert handover.encode(handover.SetState(id=1, state=b"state", once_above=5)) == packet
