"""The replay buffer: what is at a location, as long as it is known."""

from __future__ import annotations

from actors.fanout.calls.replay_buffer import ReplayBuffer
from patchbay.protocol import batches
from tests.fakes.listening import spoken

KEEP_S = 0.6


def batch(*chunks: int) -> tuple[bytes, list[int]]:
    """A message, and where its entries are in it."""
    entries = [spoken(chunk) for chunk in chunks]
    message = batches.pack_batch(0, batches.Batch(0, "a", 1, 1, 0), entries)
    first = batches.unpack_batch(message)[1]
    return message, [first + sum(map(len, entries[:index])) for index in range(len(entries))]


def test_what_was_kept_is_found_with_the_time_it_came() -> None:
    replay_buffer = ReplayBuffer(KEEP_S)
    locations = []
    for number in range(3):
        message, offsets = batch(10 * number, 10 * number + 1)
        begin = replay_buffer.keep(message, float(number) / 10)
        locations += [begin + offset for offset in offsets]
    found = [(when, entry.chunk, entry.payload) for when, entry in replay_buffer.entries(locations)]
    assert [(when, chunk) for when, chunk, _ in found] == [(0, 0), (0, 1), (0.1, 10), (0.1, 11), (0.2, 20), (0.2, 21)]
    assert all(payload == bytes([chunk]) * 160 for _, chunk, payload in found)


def test_what_is_too_old_is_left_out() -> None:
    """A location may outlive its batch: a call that is silent keeps locations."""
    replay_buffer = ReplayBuffer(KEEP_S)
    old, offsets = batch(1)
    locations = [replay_buffer.keep(old, 0.0) + offsets[0]]
    for number in range(1, 100):
        message, offsets = batch(number)
        locations.append(replay_buffer.keep(message, number / 10) + offsets[0])
    assert [entry.chunk for _, entry in replay_buffer.entries(locations)] == [94, 95, 96, 97, 98, 99]


def test_nothing_is_kept_where_nothing_is_replayed() -> None:
    replay_buffer = ReplayBuffer(0.0)
    message, offsets = batch(1)
    first = replay_buffer.keep(message, 1.0) + offsets[0]
    second = replay_buffer.keep(message, 1.0) + offsets[0]
    assert [entry.chunk for _, entry in replay_buffer.entries([first, second])] == [1]
