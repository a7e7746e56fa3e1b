"""Whoever keeps up is written to at once, whoever does not as ever; nobody reads half a frame, or frames out of
order."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel

from patchbay.net import batched_send as module
from patchbay.net.batched_send import ARENA_BYTES, BATCH_MIN, BatchedSend, Targets
from patchbay.net.io_uring import IoUring
from patchbay.websocket.send_queue import SendQueue
from tests.fakes.connections import tcp_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_BYTES = 4


class Reader:
    """One connection: our send queue, and a peer that reads when it is told to."""

    def __init__(self, batched_send: BatchedSend, *, buffer_bytes: int | None = None) -> None:
        # A small TCP window is probed for now and then only, which takes long.
        self.client, self.server = tcp_pair() if buffer_bytes is None else socket.socketpair()
        if buffer_bytes is not None:
            self.client.setblocking(False)
            self.server.setblocking(False)
            self.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self.send_queue = SendQueue(self.server, lossy_s=60)
        self.broken = 0
        self.send_queue.on_broken = self._break
        self.got = b""

    def _break(self) -> None:
        self.broken += 1

    def read(self) -> list[int]:
        """The numbers of all whole frames since last asked."""
        with suppress(BlockingIOError, ConnectionResetError):
            while data := self.client.recv(1 << 20):
                self.got += data
        numbers = []
        while len(self.got) >= HEAD_BYTES:
            size = int.from_bytes(self.got[2:4])
            if len(self.got) < size:
                break
            number = int.from_bytes(self.got[:2])
            assert self.got[:size] == frame(number, size), "torn"
            numbers.append(number)
            self.got = self.got[size:]
        return numbers

    async def hears(self, numbers: list[int]) -> None:
        """These, and no others; they may take a moment on a busy machine."""
        got: list[int] = []
        with trio.fail_after(20):
            while len(got) < len(numbers):
                await trio.lowlevel.wait_readable(self.client)
                got += self.read()
        assert [*got, *self.read()] == numbers

    def close(self) -> None:
        self.send_queue.detach()
        self.client.close()
        self.server.close()


def frame(number: int, size: int = 164) -> bytes:
    return number.to_bytes(2) + size.to_bytes(2) + bytes([number % 256]) * (size - HEAD_BYTES)


@pytest.fixture(params=["ring", "none"])
def batched_send(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchedSend]:
    """With a ring, for however few connections, and as it is where the kernel has none."""
    monkeypatch.setattr(module, "BATCH_MIN", 1)
    ring = IoUring.open() if request.param == "ring" else None
    if request.param == "ring" and ring is None:
        pytest.skip("the kernel has no io_uring, or forbids it")
    yield BatchedSend(ring)
    if ring is not None:
        ring.close()


@pytest.fixture
def readers(batched_send: BatchedSend) -> Iterator[list[Reader]]:
    made = [Reader(batched_send) for _ in range(3)]
    yield made
    for reader in made:
        reader.close()


def targets_of(batched_send: BatchedSend, *readers: Reader) -> Targets:
    targets = Targets(batched_send)
    for reader in readers:
        targets.add(reader.send_queue)
    return targets


async def test_all_get_all_frames_in_order(batched_send: BatchedSend, readers: list[Reader]) -> None:
    """Also several in a row, which a batched send does not hold for the same connection."""
    targets = targets_of(batched_send, *readers)
    for number in range(10):
        assert targets.write(frame(number, 100 + number)) == 3
    batched_send.flush()
    batched_send.flush()
    for reader in readers:
        await reader.hears(list(range(10)))


async def test_a_few_are_written_to_at_once(batched_send: BatchedSend, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, and without waiting for a flush; one more, and they go together."""
    monkeypatch.setattr(module, "BATCH_MIN", BATCH_MIN)
    readers = [Reader(batched_send) for _ in range(BATCH_MIN)]
    targets = targets_of(batched_send, *readers[1:])
    targets.write(frame(1))
    for reader in readers[1:]:
        await reader.hears([1])
    targets.add(readers[0].send_queue)
    targets.write(frame(2))
    if batched_send.ring is not None:
        assert [reader.read() for reader in readers] == [[]] * BATCH_MIN
    batched_send.flush()
    for reader in readers:
        await reader.hears([2])
    for reader in readers:
        reader.close()


async def test_nothing_overtakes(batched_send: BatchedSend, readers: list[Reader]) -> None:
    """What a send queue writes itself comes behind what is on its way, and before what follows."""
    first, second, _ = readers
    targets = targets_of(batched_send, first, second)
    targets.write(frame(1))
    first.send_queue.write_control(frame(2))
    targets.write(frame(3))
    first.send_queue.write(frame(4))
    targets.write(frame(5))
    assert first.send_queue.unsent() == b""
    await first.hears([1, 2, 3, 4, 5])
    batched_send.flush()
    await second.hears([1, 3, 5])


async def test_who_leaves_gets_no_more(batched_send: BatchedSend, readers: list[Reader]) -> None:
    """All that was written before, and nothing after, though its descriptor may be another's by then."""
    first, second, third = readers
    targets = targets_of(batched_send, first, second, third)
    targets.write(frame(1))
    targets.discard(first.send_queue)
    targets.discard(first.send_queue)
    second.send_queue.detach()
    targets.write(frame(2))
    batched_send.flush()
    await third.hears([1, 2])
    await first.hears([1])
    await second.hears([1])
    assert targets.send_queues == (second.send_queue, third.send_queue)


async def test_frames_from_two_places_keep_their_order(batched_send: BatchedSend, readers: list[Reader]) -> None:
    """A listener of two calls."""
    first, second, _ = readers
    one, other = targets_of(batched_send, first, second), targets_of(batched_send, first)
    for number in range(0, 20, 2):
        one.write(frame(number))
        other.write(frame(number + 1))
    batched_send.flush()
    one.discard(first.send_queue)
    one.write(frame(50))
    other.write(frame(51))
    batched_send.flush()
    await first.hears([*range(20), 51])
    await second.hears([*range(0, 20, 2), 50])


@pytest.mark.parametrize("flushes", [True, False])
async def test_one_that_does_not_read_is_no_ones_concern(
    batched_send: BatchedSend, readers: list[Reader], flushes: bool
) -> None:
    """It gets what it has missed when it reads again, whole frames in order; the others have had all in time."""
    slow = Reader(batched_send, buffer_bytes=4096)
    behind: list[bool] = []
    slow.send_queue.on_behind = lambda: behind.append(slow.send_queue.behind)
    targets = targets_of(batched_send, slow, *readers)
    for number in range(400):
        targets.write(frame(number, 200))
        if flushes:
            batched_send.flush()
            for reader in readers:
                await reader.hears([number])
    batched_send.flush()
    for reader in readers:
        await reader.hears([] if flushes else list(range(400)))
    assert behind == [True]
    assert slow.send_queue.behind
    got: list[int] = []
    while len(got) < 400:
        got += slow.read()
        slow.send_queue.drain()
    assert not slow.send_queue.behind
    assert got == list(range(400))
    targets.write(frame(400))
    batched_send.flush()
    await slow.hears([400])
    slow.close()


async def test_one_that_has_gone_is_broken_off_once(batched_send: BatchedSend, readers: list[Reader]) -> None:
    """The others do not notice."""
    gone, *others = readers
    targets = targets_of(batched_send, *readers)
    gone.client.close()
    for number in range(5):
        targets.write(frame(number))
        batched_send.flush()
    assert gone.broken == 1
    for reader in others:
        await reader.hears([0, 1, 2, 3, 4])


@pytest.mark.parametrize("how", ["leaves", "is detached", "is moved"])
async def test_one_that_fails_while_it_leaves(batched_send: BatchedSend, readers: list[Reader], how: str) -> None:
    """What is on its way to it is written by that, and can't be."""
    gone, other, _ = readers
    targets = targets_of(batched_send, gone, other)
    gone.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    gone.client.close()
    targets.write(frame(1))
    if how == "leaves":
        targets.discard(gone.send_queue)
    elif how == "is detached":
        gone.send_queue.detach()
    else:
        assert gone.send_queue.unsent() is None
    batched_send.flush()
    assert gone.broken == 1
    await other.hears([1])


async def test_more_than_a_batch_holds(batched_send: BatchedSend) -> None:
    """Long frames, and one that is longer than all of it."""
    readers = [Reader(batched_send) for _ in range(8)]
    for number, reader in enumerate(readers):
        targets = targets_of(batched_send, reader)
        targets.write(frame(number, 60_000))
        reader.send_queue.remove_batch_writer(targets)
    batched_send.flush()
    for number, reader in enumerate(readers):
        await reader.hears([number])
    long = targets_of(batched_send, readers[0])
    long.write(bytes(ARENA_BYTES + 1))
    got = len(readers[0].client.recv(ARENA_BYTES + 1))
    assert got > 0
    for reader in readers:
        reader.close()


async def test_whatever_happens(batched_send: BatchedSend) -> None:
    """Many connections, some slow, some that go, some of two calls; all is written in a random order."""
    chance = random.Random(7)
    readers = [Reader(batched_send, buffer_bytes=chance.choice([None, 4096])) for _ in range(12)]
    groups = [Targets(batched_send) for _ in range(4)]
    wanted: dict[Reader, list[int]] = {reader: [] for reader in readers}
    got: dict[Reader, list[int]] = {reader: [] for reader in readers}
    members: list[set[Reader]] = [set() for _ in groups]
    for number in range(3000):
        place = chance.randrange(len(groups))
        match chance.randrange(12):
            case 0:
                reader = chance.choice(readers)
                change = members[place].discard if reader in members[place] else members[place].add
                (groups[place].discard if reader in members[place] else groups[place].add)(reader.send_queue)
                change(reader)
            case 1:
                reader = chance.choice(readers)
                wanted[reader].append(number)
                assert reader.send_queue.write_control(frame(number, chance.randrange(10, 500)))
            case 2 | 3:
                reader = chance.choice(readers)
                got[reader] += reader.read()
                reader.send_queue.drain()
            case 4 | 5:
                batched_send.flush()
            case _:
                groups[place].write(frame(number, chance.randrange(10, 500)))
                for reader in members[place]:
                    wanted[reader].append(number)
    batched_send.flush()
    for reader in readers:
        while True:
            got[reader] += reader.read()
            reader.send_queue.drain()
            if not reader.send_queue.behind:
                break
        got[reader] += reader.read()
        # Control frames go before what waits.
        assert sorted(got[reader]) == wanted[reader]
        reader.close()
