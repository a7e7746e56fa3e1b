"""The kernel does with prepared sends what is expected of it: all of them, in order, and it says what it did not do."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patchbay.net import io_uring as module
from patchbay.net.io_uring import ENTRIES, Arena, IoUring, pack_buffer, prepare_sends
from tests.fakes.connections import tcp_pair

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ring() -> Iterator[IoUring]:
    made = IoUring.open()
    if made is None:
        pytest.skip("the kernel has no io_uring, or forbids it")
    yield made
    made.close()


@pytest.fixture
def arena() -> Arena:
    return Arena(1 << 22)


def rings_open() -> int:
    """How many this process has; what else it has open is others' business."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that this list is read by
            links.append(str(descriptor.readlink()))
    return sum("io_uring" in link for link in links)


def test_everybody_gets_it(ring: IoUring, arena: Arena) -> None:
    """Several connections, and not a word about it."""
    pairs = [tcp_pair() for _ in range(5)]
    arena.write(100, b"hello")
    targets = prepare_sends([server.fileno() for _, server in pairs])
    assert list(ring.send(pack_buffer(arena.address + 100, 5).join(targets))) == []
    for client, server in pairs:
        assert client.recv(100) == b"hello"
        client.close()
        server.close()


def test_in_order_and_beyond_the_queue(ring: IoUring, arena: Arena) -> None:
    """More at once than the queue holds, several times, so that it is gone round at every place."""
    ours, theirs = socket.socketpair()
    target, sent = prepare_sends([ours.fileno()]), b""
    for turn in range(40):
        entries = []
        for number in range(ENTRIES + 7 * turn):
            at = 2 * number
            arena.write(at, number.to_bytes(2))
            entries.append(pack_buffer(arena.address + at, 2).join(target))
            sent += number.to_bytes(2)
            if number % 100 == 99 or number == ENTRIES + 7 * turn - 1:
                assert list(ring.send(b"".join(entries))) == []
                entries.clear()
                got = theirs.recv(1 << 20)
                assert sent.startswith(got)
                sent = sent[len(got) :]
    assert not sent
    ring_full = b"".join(pack_buffer(arena.address, 1).join(target) for _ in range(2 * ENTRIES + 1))
    short = list(ring.send(ring_full))
    assert len(theirs.recv(1 << 20)) == 2 * ENTRIES + 1 - len(short)
    ours.close()
    theirs.close()


def test_what_was_not_done_is_told(ring: IoUring, arena: Arena) -> None:
    """How much was sent of one that was cut short, and why another was refused; the others are not touched by it."""
    pairs = {name: socket.socketpair() for name in ("well", "short", "gone", "full")}
    for ours, _ in pairs.values():
        ours.setblocking(False)
    while True:
        try:
            pairs["full"][0].send(b"x" * 4096)
        except BlockingIOError:
            break
    pairs["gone"][1].close()
    fds = {name: ours.fileno() for name, (ours, _) in pairs.items()}
    big = list(ring.send(pack_buffer(arena.address, arena.size).join(prepare_sends([fds["short"]]))))
    assert [fd for fd, _ in big] == [fds["short"]]
    assert 0 < big[0][1] < arena.size
    assert len(pairs["short"][1].recv(arena.size, socket.MSG_WAITALL | socket.MSG_DONTWAIT)) > 0
    closed = os.open("/dev/null", os.O_WRONLY)
    os.close(closed)
    results = dict(
        ring.send(pack_buffer(arena.address, 10).join(prepare_sends([fds["gone"], fds["full"], closed, fds["well"]])))
    )
    assert results == {fds["gone"]: -errno.EPIPE, fds["full"]: -errno.EAGAIN, closed: -errno.EBADF}
    assert len(pairs["well"][1].recv(100)) == 10
    for ours, theirs in pairs.values():
        ours.close()
        theirs.close()


def test_it_is_told_before_more_is_sent(ring: IoUring, arena: Arena) -> None:
    """After each turn of the queue, so that whoever must know of a cut hears of it at once."""
    short, later = socket.socketpair(), socket.socketpair()
    for ours, theirs in (short, later):
        ours.setblocking(False)
        theirs.setblocking(False)
    cut = pack_buffer(arena.address, arena.size).join(prepare_sends([short[0].fileno()]))
    rest = pack_buffer(arena.address, 1).join(prepare_sends([later[0].fileno()])) * ENTRIES
    results = ring.send(cut + rest)
    assert next(results)[0] == short[0].fileno()
    assert len(later[1].recv(1000)) == ENTRIES - 1
    assert list(results) == []
    assert len(later[1].recv(1000)) == 1
    for ours, theirs in (short, later):
        ours.close()
        theirs.close()


def test_nothing_to_send(ring: IoUring) -> None:
    """Nobody, and nothing."""
    assert prepare_sends([]) == ()
    assert list(ring.send(b"")) == []


def test_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that forbids it, and one that does something else, are told apart from one that is to be used; nothing
    stays open."""
    before = rings_open()
    monkeypatch.setattr(module, "_works", lambda ring: False)
    assert IoUring.open() is None
    monkeypatch.undo()
    monkeypatch.setattr(module, "_ENTER", 100_000)
    assert IoUring.open() is None
    monkeypatch.setattr(module, "_SETUP", 100_000)
    assert IoUring.open() is None
    assert rings_open() == before
