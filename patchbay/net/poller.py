"""Reads all media sockets of a process in rounds, with one private epoll.

A task for each socket would cost more: trio would re-arm, wake and schedule for every frame. The private epoll keeps
its registrations, and only the descriptor of the epoll is waited for (`patchbay.net.event_loop`).

A round peeks at the sockets, handles the complete frames, and takes the handled bytes at the start of the next round at
the earliest (`patchbay.net.socket_reader`). With `take_late`, bytes are taken LEAVES_S later: the bus sends in a thread
of its own, and two rounds may follow each other at once. Untaken bytes stay readable, so the epoll is edge-triggered.

Frames that are not plain are handled in turns (`patchbay.net.turns`): a flood is slow, and the other peers are not.

A connection whose input is not urgent can be read *periodically*: it leaves the epoll, and many of its frames are read
at a time. Most of the cost of a frame is the wake-up.
"""

from __future__ import annotations

import logging
import select
from collections import deque
from typing import TYPE_CHECKING

import trio

from patchbay.net.event_loop import NOW, Callback
from patchbay.net.peek import set_peek_offset
from patchbay.net.poll_clock import PollClock
from patchbay.net.socket_reader import ENDS_AT_ONCE, LATE_BYTES, NOT_PEEKED, SocketReader
from patchbay.net.turns import READING_S
from patchbay.process.periodic import tick_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchbay.net.polled import Polled, ReadingInC

log = logging.getLogger(__name__)

EVENTS_PER_ROUND = 2048
LEAVES_S = 0.01  # after which the messages of a round have left this process over the bus
MUCH_BYTES = 8 * 1024  # handled and untaken bytes of one connection: half a second of audio of both tracks
PERIODIC_PARTS = 5
PERIODIC_TURN_S = 0.005  # after which other callbacks run before the rest of a part
OPENINGS_AT_ONCE = 4  # handshakes at the same time; rounds go on between those of a crowd
WRITABLE = select.EPOLLOUT
INTEREST = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
INTEREST_PERIODIC = select.EPOLLRDHUP | select.EPOLLET
MUST_WAIT = 1 << 16  # no event of epoll: the rest of many plain frames must wait for a turn (`reading.h`)
GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Poller(SocketReader):
    """Serves the connections that were added.

    Args:
        linger_s: the least time between two rounds, so that a round serves many frames under load. It is the most
            latency that is added; a frame after a quiet moment is served at once.
        end_of_round: called after each round, to send what the round has gathered.
        periodic_read_s: the interval at which a connection is read periodically.
        take_late: frames of the last tenth of a second may be handled again after a crash.
        in_c: serves plain connections in C; None: all are served in Python.

    Attributes:
        openings: limits the handshakes at the same time.
        rounds: number of rounds so far.
    """

    def __init__(
        self,
        linger_s: float,
        end_of_round: Callable[[], None] = lambda: None,
        *,
        periodic_read_s: float = 0.1,
        take_late: bool = False,
        in_c: ReadingInC | None = None,
    ) -> None:
        super().__init__(take_late=take_late)
        self._pace = PollClock(linger_s)
        self._periodic_read_s = periodic_read_s
        self._in_c = in_c
        self._periodic: dict[int, Polled] = {}
        self._periodic_part = 0
        self._periodic_left: deque[int] = deque()  # descriptors of that part that were not read yet
        self._periodic_callback = Callback(self._periodic_turn)
        self._writing: set[int] = set()  # descriptors that wait until they are writable
        self._end_of_round = end_of_round
        self._epoll = select.epoll()
        self._callback = Callback(self._turn, self._epoll.fileno())
        self._served = 0  # connections, in the last round
        self._leaving: list[Polled] = []  # to be taken at `_left_at`, when their messages have left this process
        self._left_at = float("-inf")
        self.openings = trio.Semaphore(OPENINGS_AT_ONCE)
        self.rounds = 0

    def add(self, peer: Polled) -> None:
        """Add a connection. Bytes that its socket already holds are read in the next round."""
        fd = peer.sock.fileno()
        self._peers.extend([None] * (fd + 1 - len(self._peers)))
        self._peers[fd] = peer
        if self._late:
            self._late = set_peek_offset(peer.sock, 0)
        self._epoll.register(fd, INTEREST)

    def remove(self, peer: Polled) -> None:
        """Take the handled bytes, and stop serving a connection. The caller closes the socket. Harmless if repeated."""
        fd = peer.sock.fileno()
        if fd >= 0 and self._serves(fd) is not None:
            self._peers[fd] = None
            self._periodic.pop(fd, None)
            self._writing.discard(fd)
            self.turns.forget(peer)
            self._take(peer)
            if self._late:
                set_peek_offset(peer.sock, -1)
            self._epoll.unregister(fd)

    def want_write(self, peer: Polled) -> None:
        """Call `writable` of a connection when its socket is writable; costly, so only while the peer is behind."""
        fd = peer.sock.fileno()
        if self._serves(fd) is peer:
            self._writing.add(fd)
            self._arm(fd)

    def read_periodically(self, peer: Polled) -> None:
        """Read a connection every `periodic_read_s` from now on."""
        fd = peer.sock.fileno()
        if self._serves(fd) is peer:
            self._periodic[fd] = peer
            self._periodic_callback.schedule(tick_after(trio.current_time(), self._periodic_read_s / PERIODIC_PARTS))
            self._arm(fd)

    def read_now(self, peer: Polled) -> None:
        """Read a connection now that is read periodically. Must not be called while the connection is being handled."""
        if self._periodic.get(peer.sock.fileno()) is peer:
            self._ends_left = ENDS_AT_ONCE
            self._take(peer)
            self._read(peer, trio.current_time(), False)
            self._schedule_waiting()

    def read_on_arrival(self, peer: Polled) -> None:
        """Read a connection on the arrival of bytes from now on, beginning with the bytes that are there."""
        fd = peer.sock.fileno()
        if self._periodic.pop(fd, None) is not None:
            self._ripe.append(peer)  # its last frames may not have left this process yet
            self._arm(fd)

    async def run(self) -> None:
        """Serve connections until cancelled. A connection that fails is ended; the others go on."""
        self._clock = trio.lowlevel.current_clock().current_time  # costs a third of `trio.current_time()`
        await self._callback.run()

    async def run_periodic(self) -> None:
        """Read connections periodically until cancelled, a part of them at a time, so that the others need not wait."""
        await self._periodic_callback.run()

    def _turn(self) -> float | None:
        """Serve a round if it is due. Return when the next one is due; None: when a socket becomes readable."""
        now = self._clock()
        if (due := self._pace.on_wakeup(now)) is None:
            more = self.round()
            due = self._pace.on_round_end(now, more, self._served)
            if self._holds_much():
                due = self._left_at if due is None else min(due, self._left_at)
        return due

    def _holds_much(self) -> bool:
        """Return whether a socket may be full of handled bytes: its peer sends no more until they are taken."""
        return any(peer.untaken >= MUCH_BYTES for peer in self._ripe) or any(
            peer.untaken >= MUCH_BYTES for peer in self._leaving
        )

    def _periodic_turn(self) -> float | None:
        now = self._clock()
        if not self._periodic_left:
            part = self._periodic_part = (self._periodic_part + 1) % PERIODIC_PARTS
            self._periodic_left.extend(fd for fd in self._periodic if fd % PERIODIC_PARTS == part)
        self._ends_left = len(self._periodic)  # all may end: no round is sure to follow
        self.turns.new_round()
        while self._periodic_left and self._clock() - now < PERIODIC_TURN_S:
            self._read_periodic(self._periodic_left.popleft(), now)
        self._end_of_round()
        self._schedule_waiting()
        if self._periodic_left:
            return NOW
        return tick_after(now, self._periodic_read_s / PERIODIC_PARTS) if self._periodic else None

    def _read_periodic(self, fd: int, now: float) -> None:
        if (peer := self._periodic.get(fd)) is not None and peer not in self.turns.waiting:
            self._take(peer)
            self._read(peer, now, False)
            if fd not in self._periodic:  # `read_on_arrival` was called: the next round takes the handled bytes
                self._untaken.append(peer)

    def round(self) -> bool:
        """Serve the readable sockets. Return whether another round is needed even if no bytes arrive."""
        self.rounds += 1
        self.turns.new_round()
        self._ends_left = ENDS_AT_ONCE
        now = self._clock()
        self._take_all(self._take_now(now))
        again, self._again = self._again, []
        for peer, gone in again:
            if self._serves(peer.sock.fileno()) is peer:
                self._read(peer, now, gone)
        while self._ending and self._ends_left > 0:
            self._end(self._ending.popleft())
        self._serve_waiting(now)
        self._serve_all(now)
        self._end_of_round()
        return bool(self._untaken or self._again or self._ending or self.turns.waiting)

    def _take_now(self, now: float) -> list[Polled]:
        """Return the connections whose handled bytes must be taken now."""
        handled, self._untaken = self._untaken, []
        if now >= self._left_at:
            handled += self._leaving
            self._leaving, self._ripe, self._left_at = self._ripe, [], now + LEAVES_S
        return handled

    def _serve_waiting(self, now: float) -> None:
        """Serve each waiting connection for one turn, until the time of this round is spent."""
        for _ in range(len(self.turns.waiting)):
            if (called := self.turns.call()) is None:
                return
            self.counters["turns_waited_for"] += 1
            self._read(called[0], now, called[1])

    def _schedule_waiting(self) -> None:
        """Schedule a round if a connection waits for its turn."""
        if self.turns.waiting:
            self._callback.schedule()

    def _take_all(self, handled: list[Polled]) -> None:
        if self._in_c is not None:
            try:
                self._in_c.take(handled, self._buffer)
                return
            except Exception as error:
                self._do_without_c(error)
        for peer in handled:
            self._take(peer)

    def _serve_all(self, now: float) -> None:
        if self._in_c is None:
            events = self._epoll.poll(0, EVENTS_PER_ROUND)
            self._served = len(events)
            for fd, event in events:
                self._serve(fd, event, now)
            return
        handled, enough = (self._ripe, LATE_BYTES) if self._late else (self._untaken, 0)
        try:
            self._served = self._in_c.serve(
                self._epoll.fileno(),
                self._peers,
                self._buffer,
                now,
                self._late,
                handled,
                enough,
                READING_S,
                self._serve,
            )
        except Exception as error:
            self._do_without_c(error)

    def _do_without_c(self, error: Exception) -> None:
        """Continue in Python after a failure in C. All sockets are read again, since the events of epoll are lost."""
        log.error("the routine in C has failed; sockets are read in Python from now on", exc_info=error)
        self.counters["native_failed"] += 1
        self._in_c = None
        for peer in self._peers:
            if peer is not None:
                if self._late:
                    set_peek_offset(peer.sock, peer.untaken)
                self._again.append((peer, False))

    def _serve(self, fd: int, event: int, now: float, begin: int = 0, size: int = NOT_PEEKED) -> None:
        """Serve one connection. `size` bytes were peeked at, or NOT_PEEKED; those up to `begin` were handled."""
        if (peer := self._peers[fd]) is None:
            return
        if event & WRITABLE and not peer.writable():
            self._writing.discard(fd)
            self._arm(fd)
        if event & ~WRITABLE:
            gone = event & GONE != 0
            if event & MUST_WAIT:
                peer.wait()
            elif self.turns.waiting and self.turns.set_gone(peer, gone):
                return
            self._read(peer, now, gone, begin, size)

    def _arm(self, fd: int) -> None:
        """Set the events that epoll reports of a descriptor. Events that have occurred already are reported again."""
        if self._serves(fd) is not None:
            interest = INTEREST_PERIODIC if fd in self._periodic else INTEREST
            self._epoll.modify(fd, interest | WRITABLE if fd in self._writing else interest)
