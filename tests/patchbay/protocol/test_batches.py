"""What goes over the bus comes out as it went in; anything else is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.protocol import batches

calls = st.binary(min_size=16, max_size=16)
entries = st.builds(
    batches.Entry,
    kind=st.integers(1, 8),
    track=st.integers(0, 1),
    flags=st.just(0),
    position=st.integers(0, 2**32 - 1),
    chunk=st.integers(0, 2**32 - 1),
    sequence_number=st.integers(0, 2**32 - 1),
    length=st.just(0),
    timestamp=st.integers(0, 2**64 - 1),
    stream=st.integers(0, 2**64 - 1),
    call=calls,
    payload=st.binary(max_size=400),
).map(lambda entry: entry._replace(length=len(entry.payload)))


def packed(entry: batches.Entry) -> bytes:
    return (
        batches.pack_entry(
            entry.kind,
            entry.track,
            entry.flags,
            entry.position,
            entry.chunk,
            entry.sequence_number,
            len(entry.payload),
            entry.timestamp,
            entry.stream,
            entry.call,
        )
        + entry.payload
    )


@given(st.lists(entries, max_size=5), st.sampled_from("ab"), st.integers(0, 255))
def test_a_batch_comes_out_as_it_went_in(sent: list[batches.Entry], slot: str, fanout: int) -> None:
    """Header and entries, in order."""
    header = batches.Batch(3, slot, 2**63, 7, 99)
    message = batches.pack_batch(fanout, header, [packed(entry) for entry in sent])
    assert message.startswith(batches.batch_topic(fanout))
    got, at = batches.unpack_batch(message)
    assert got == header
    for entry in sent:
        assert batches.entry_at(message, at) == entry
        assert batches.unpack_front(message, at) == (
            entry.kind,
            entry.track,
            entry.position,
            entry.length,
            entry.stream,
        )
        at += batches.ENTRY_BYTES + entry.length
    assert at == len(message)


@given(st.binary(max_size=100))
def test_rubbish_is_refused_in_one_way(message: bytes) -> None:
    """Only BusFormatError ever comes out."""
    with suppress(batches.BusFormatError):
        batches.unpack_batch(message)


@given(st.integers(0, 255), calls)
def test_subscriptions_are_told_apart(fanout: int, call: bytes) -> None:
    """A fan-out's batches, its interest in a call, and topics that are neither."""
    assert batches.parse_subscription(b"\x01" + batches.batch_topic(fanout)) == (True, fanout, None)
    assert batches.parse_subscription(b"\x00" + batches.interest_topic(fanout, call)) == (False, fanout, call)
    assert batches.parse_subscription(b"\x01" + batches.STATS_TOPIC) is None


talks = st.builds(
    batches.Talk,
    kind=st.integers(1, 3),
    fanout_index=st.integers(0, 255),
    talker=st.integers(0, 2**64 - 1),
    call=calls,
    payload=st.binary(max_size=200),
)


@given(st.lists(talks, max_size=4))
def test_talk_comes_out_as_it_went_in(sent: list[batches.Talk]) -> None:
    """Any number of pieces to a message."""
    message = b"".join(batches.pack_talk(*talk) for talk in sent)
    assert list(batches.unpack_talk(message)) == sent
    if message:
        with pytest.raises(batches.BusFormatError):
            list(batches.unpack_talk(message[:-1]))
