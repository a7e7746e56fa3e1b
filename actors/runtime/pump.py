"""Reads all media sockets of a process: one private epoll, one task, a round at a time.

Why not a task for each socket: trio would re-arm, wake and schedule for every frame. A private epoll keeps its
registrations, and its own descriptor is the one thing that trio waits for; a round then serves whatever is there.

A round *looks* at what the sockets hold (MSG_PEEK), handles the complete frames, and takes them only at the start of
the next round, when what they led to has left this process. So a crash in between loses nothing: the next process
finds the bytes still in the socket. Untaken bytes stay readable, which is why the epoll is edge-triggered.

A connection whose input nobody waits for can be made *cold*: it leaves the epoll and is read a few times a second,
many frames at a time, which is where most of a frame's price goes: waking up.
"""

from __future__ import annotations

import logging
import select
import socket
from typing import TYPE_CHECKING, Protocol

import trio

from actors.runtime.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

BUFFER_BYTES = 64 * 1024  # looked at, at once, of one socket
EVENTS_PER_ROUND = 2048
COLD_PARTS = 5
READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
PEEK, DISCARD = socket.MSG_PEEK, socket.MSG_TRUNC
INTEREST = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
INTEREST_COLD = select.EPOLLRDHUP | select.EPOLLET
GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Pumped(Protocol):
    """A connection as the pump sees it."""

    sock: socket.socket
    untaken: int  # bytes at the front of the socket that have been handled
    last_heard: float  # when something arrived, in trio's clock

    def handle(self, data: memoryview, size: int) -> int:
        """Handle the complete frames in data[untaken:size]; return how far that got."""

    def end_of_input(self) -> None:
        """The peer has closed, or the connection broke."""

    def writable(self) -> bool:
        """There is room for output again. False when nothing waits for room any more."""


class Pump:
    """Serves the sockets that were added, until cancelled.

    Args:
        cold_read_s: how often a cold connection is read.
        linger_s: rounds begin at least this far apart, so that under load a round serves many frames. The price is
            that much latency at most; a frame after a quiet moment is served at once.
        end_of_round: called after each round, to send what the round has gathered.
    """

    def __init__(
        self, linger_s: float, end_of_round: Callable[[], None] = lambda: None, *, cold_read_s: float = 0.1
    ) -> None:
        self._linger_s = linger_s
        self._cold_read_s = cold_read_s
        self._cold: dict[int, Pumped] = {}
        self._writing: set[int] = set()  # descriptors that wait for room for output
        self._end_of_round = end_of_round
        self._epoll = select.epoll()
        self._peers: dict[int, Pumped] = {}
        self._untaken: list[Pumped] = []
        self._again: list[tuple[Pumped, bool]] = []
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self.rounds = 0
        self.failed = 0  # connections ended by a fault of ours

    def add(self, peer: Pumped) -> None:
        """Begin to serve a connection. What its socket already holds is seen in the next round."""
        fd = peer.sock.fileno()
        self._peers[fd] = peer
        self._epoll.register(fd, INTEREST)

    def remove(self, peer: Pumped) -> None:
        """Stop serving it; what was handled is taken from the socket first. Harmless when it is not served."""
        fd = peer.sock.fileno()
        if fd >= 0 and self._peers.pop(fd, None) is not None:
            self._cold.pop(fd, None)
            self._writing.discard(fd)
            self._take(peer)
            self._epoll.unregister(fd)

    def want_write(self, peer: Pumped) -> None:
        """Have `writable` called when there is room for output. Only for one that fell behind: the others would be
        woken by every acknowledgement of their peer."""
        fd = peer.sock.fileno()
        if self._peers.get(fd) is peer:
            self._writing.add(fd)
            self._arm(fd)

    def look_again(self, peer: Pumped) -> None:
        """Have a connection that could not be handled before looked at again."""
        fd = peer.sock.fileno()
        if self._peers.get(fd) is peer:
            self._arm(fd)

    def cool(self, peer: Pumped) -> None:
        """Read this connection now and then only."""
        fd = peer.sock.fileno()
        if self._peers.get(fd) is peer:
            self._cold[fd] = peer
            self._arm(fd)

    def warm(self, peer: Pumped) -> None:
        """Read it at once again, beginning with what is there."""
        fd = peer.sock.fileno()
        if self._cold.pop(fd, None) is not None:
            self._take(peer)
            self._arm(fd)

    async def run(self) -> None:
        """Serve for ever. A connection that fails is ended; the others go on."""
        fd = self._epoll.fileno()
        ticker = Ticker(self._linger_s)
        try:
            while True:
                if not self._untaken and not self._again:
                    ticker.stop()
                    await trio.lowlevel.wait_readable(fd)
                self.round()
                await ticker.tick()
        finally:
            ticker.close()

    async def run_cold(self) -> None:
        """Read cold connections, a part of them at a time so that they do not keep the others waiting. For ever."""
        part = 0
        while True:
            await trio.sleep(self._cold_read_s / COLD_PARTS)
            part = (part + 1) % COLD_PARTS
            now = trio.current_time()
            for fd, peer in list(self._cold.items()):
                if fd % COLD_PARTS == part and self._cold.get(fd) is peer:
                    self._take(peer)
                    self._read(peer, now, False, [])
                    if fd not in self._cold:  # what it said has warmed it: the next round takes what was handled
                        self._untaken.append(peer)
            self._end_of_round()

    def round(self) -> None:
        """Serve what is there now."""
        self.rounds += 1
        now = trio.current_time()
        untaken, self._untaken = self._untaken, []
        for peer in untaken:
            self._take(peer)
        again, self._again = self._again, []
        for peer, gone in again:
            if self._peers.get(peer.sock.fileno()) is peer:
                self._read(peer, now, gone, self._untaken)
        served_by, read, untaken = self._peers.get, self._read, self._untaken
        for fd, event in self._epoll.poll(0, EVENTS_PER_ROUND):
            if (served := served_by(fd)) is None:
                continue
            if event == READABLE:  # nearly always
                read(served, now, False, untaken)
                continue
            if event & WRITABLE and not served.writable():
                self._writing.discard(fd)
                self._arm(fd)
            if event & ~WRITABLE:
                read(served, now, event & GONE != 0, untaken)
        self._end_of_round()

    def _arm(self, fd: int) -> None:
        """Tell epoll what is waited for; what is there already is told again."""
        if fd in self._peers:
            interest = INTEREST_COLD if fd in self._cold else INTEREST
            self._epoll.modify(fd, interest | WRITABLE if fd in self._writing else interest)

    def _read(self, peer: Pumped, now: float, gone: bool, untaken: list[Pumped]) -> None:
        try:
            size = peer.sock.recv_into(self._buffer, BUFFER_BYTES, PEEK)
            before = peer.untaken
            if size > before:
                peer.last_heard = now
                peer.untaken = peer.handle(self._buffer, size)
            if peer.untaken:
                untaken.append(peer)
                if gone or size == BUFFER_BYTES:
                    self._again.append((peer, gone))  # there may be more behind, and no new edge will say so
            elif gone or size == 0:
                peer.end_of_input()
        except BlockingIOError:
            return
        except OSError:
            peer.end_of_input()
        except Exception:
            self.failed += 1
            log.exception("connection ended by a fault of ours")
            peer.end_of_input()

    def _take(self, peer: Pumped) -> None:
        count, peer.untaken = peer.untaken, 0
        try:
            while count > 0:
                # TCP discards without copying; the buffer is for sockets that can't. Never more than it holds: what is
                # untaken was seen in it.
                taken = peer.sock.recv_into(self._buffer, count, DISCARD)
                count = count - taken if taken else 0
        except OSError:
            return  # reset meanwhile; the next look says so
