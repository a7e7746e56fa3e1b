"""The last moments: what is at a place, as long as it is known."""

from __future__ import annotations

from actors.fanout.calls.replay_buffer import Moments
from patchbay.protocol import batches as wire
from tests.fakes.listening import spoken

KEEP_S = 0.6


def batch(*chunks: int) -> tuple[bytes, list[int]]:
    """A message, and where its entries are in it."""
    entries = [spoken(chunk) for chunk in chunks]
    message = wire.pack_batch(0, wire.Batch(0, "a", 1, 1, 0), entries)
    first = wire.unpack_batch(message)[1]
    return message, [first + sum(map(len, entries[:index])) for index in range(len(entries))]


def test_what_was_kept_is_found_with_the_time_it_came() -> None:
    moments = Moments(KEEP_S)
    places = []
    for number in range(3):
        message, offsets = batch(10 * number, 10 * number + 1)
        begin = moments.keep(message, float(number) / 10)
        places += [begin + offset for offset in offsets]
    found = [(when, entry.chunk, entry.payload) for when, entry in moments.entries(places)]
    assert [(when, chunk) for when, chunk, _ in found] == [(0, 0), (0, 1), (0.1, 10), (0.1, 11), (0.2, 20), (0.2, 21)]
    assert all(payload == bytes([chunk]) * 160 for _, chunk, payload in found)


def test_what_is_too_old_is_left_out() -> None:
    """A place may outlive its batch: a call that is silent keeps places."""
    moments = Moments(KEEP_S)
    old, offsets = batch(1)
    places = [moments.keep(old, 0.0) + offsets[0]]
    for number in range(1, 100):
        message, offsets = batch(number)
        places.append(moments.keep(message, number / 10) + offsets[0])
    assert [entry.chunk for _, entry in moments.entries(places)] == [94, 95, 96, 97, 98, 99]


def test_nothing_is_kept_where_nothing_is_replayed() -> None:
    moments = Moments(0.0)
    message, offsets = batch(1)
    first = moments.keep(message, 1.0) + offsets[0]
    second = moments.keep(message, 1.0) + offsets[0]
    assert [entry.chunk for _, entry in moments.entries([first, second])] == [1]
