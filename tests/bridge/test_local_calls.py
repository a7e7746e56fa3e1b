"""The calls that stream into this node."""

from __future__ import annotations

import pytest

from actors.bridge.local_calls import LocalCalls
from patchbay.protocol import batches
from tests.bridge.batches import EPOCH, batch, entries_of

CALL, OTHER = b"c" * 16, b"d" * 16


def news(kind: int, stream: int, payload: bytes = b"", call: bytes = CALL) -> bytes:
    return batches.news_entry(kind, stream, call, payload)


def calls_with(*entries: bytes) -> LocalCalls:
    calls = LocalCalls()
    calls.receive(batch(batches.BRIDGE, *entries), 0.0)
    return calls


def test_a_call_begins_and_ends() -> None:
    calls = calls_with(news(batches.START, 5, b"start"))
    assert calls.changed == {CALL}
    call = calls.get(CALL)
    assert call is not None
    assert (call.number, call.owner, call.epoch) == (5, (0, "a"), EPOCH)
    calls.receive(batch(batches.BRIDGE, news(batches.STOP, 5)), 1.0)
    assert calls.get(CALL) is None


def test_the_later_stream_counts() -> None:
    calls = calls_with(news(batches.START, 5), news(batches.START, 4))
    assert [call.number for call in calls] == [5]
    calls.receive(batch(batches.BRIDGE, news(batches.START, 6), news(batches.GONE, 5)), 1.0)
    assert [call.number for call in calls] == [6]


def test_what_a_node_is_told_first() -> None:
    """The start frame and the floor, in the name of the ingest process that has the stream."""
    calls = calls_with(news(batches.START, 5, b"start"), news(batches.FLOOR, 5, b"{}"), news(batches.FLOOR, 4, b"[]"))
    call = calls.get(CALL)
    assert call is not None
    told = bytes(batches.TOPIC_BYTES) + call.news()
    header, _ = batches.unpack_batch(told)
    assert (header.epoch, header.sequence) == (EPOCH, batches.UNSEQUENCED)
    assert [(entry.kind, entry.payload) for entry in entries_of(told)] == [
        (batches.START, b"start"),
        (batches.FLOOR, b"{}"),
    ]


def test_what_nobody_confirms_is_forgotten() -> None:
    calls = calls_with(news(batches.START, 5), news(batches.START, 6, call=OTHER))
    late = LocalCalls.FORGET_AFTER_S + 1
    live = batches.news_entry(batches.LIVE, 0, batches.EVERY_CALL, (6).to_bytes(8, "little"))
    calls.receive(batch(batches.BRIDGE, live, epoch=EPOCH + 1), late)
    calls.changed.clear()
    calls.remove_unconfirmed(late)
    assert [(call.digest, call.epoch) for call in calls] == [(OTHER, EPOCH + 1)]
    assert calls.changed == {CALL}


def test_a_batch_that_is_cut_short() -> None:
    with pytest.raises(batches.BusFormatError):
        calls_with(news(batches.START, 5, b"start")[:-1])
    with pytest.raises(batches.BusFormatError):
        calls_with(news(batches.START, 5)[:-1])
