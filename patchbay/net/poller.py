"""Reads all media sockets of a process: one private epoll, a round at a time.

Why not a task for each socket: trio would re-arm, wake and schedule for every frame. A private epoll keeps its
registrations, and its own descriptor is the one thing that is waited for (`patchbay.net.event_loop`); a round then
serves whatever is there.

A round peeks at what the sockets hold, handles the complete frames, and takes them at the start of the next round at
the earliest (`patchbay.net.socket_reader`). Where frames may be handled again after a crash, they are taken LEAVES_S
later: the bus sends in a thread of its own, and two rounds may follow each other at once. Untaken bytes stay readable,
which is why the epoll is edge-triggered.

Of all that is not plain, a peer may have a little done in each round (`patchbay.net.turns`): a flood is slow, and the
others are not.

A connection whose input nobody waits for can be made *cold*: it leaves the epoll and is read a few times a second,
many frames at a time, which is where most of a frame's price goes: waking up.
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
from patchbay.net.socket_reader import ENDS_AT_ONCE, LATE_BYTES, NOT_LOOKED, SocketReader
from patchbay.net.turns import READING_S
from patchbay.process.periodic import tick_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchbay.net.polled import Polled, ReadingInC

log = logging.getLogger(__name__)

EVENTS_PER_ROUND = 2048
LEAVES_S = 0.01  # what a round has sent over the bus has left this process
MUCH_BYTES = 8 * 1024  # handled and not taken, of one connection: half a second of audio of both tracks
PERIODIC_PARTS = 5
PERIODIC_TURN_S = 0.005  # then others are served before the rest of a part
OPENINGS_AT_ONCE = 4  # a crowd that comes at once opens one after the other, with rounds in between
WRITABLE = select.EPOLLOUT
INTEREST = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
INTEREST_PERIODIC = select.EPOLLRDHUP | select.EPOLLET
MUST_WAIT = 1 << 16  # no event of epoll: the rest of a connection's many plain frames has to wait (`reading.h`)
GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Poller(SocketReader):
    """Serves the sockets that were added, until cancelled.

    Args:
        periodic_read_s: how often a cold connection is read.
        linger_s: rounds begin at least this far apart, so that under load a round serves many frames. The price is
            that much latency at most; a frame after a quiet moment is served at once.
        end_of_round: called after each round, to send what the round has gathered.
        take_late: frames may be handled again after a crash (those of the last tenth of a second), and do no harm.
        in_c: does with most connections what is done here with each, faster, where it is there.
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
        self._cold_read_s = periodic_read_s
        self._in_c = in_c
        self._periodic: dict[int, Polled] = {}
        self._periodic_part = 0
        self._periodic_left: deque[int] = deque()  # of that part
        self._periodic_callback = Callback(self._periodic_turn)
        self._writing: set[int] = set()  # descriptors that wait for room for output
        self._end_of_round = end_of_round
        self._epoll = select.epoll()
        self._callback = Callback(self._turn, self._epoll.fileno())
        self._served = 0  # connections, in the last round
        self._leaving: list[Polled] = []  # what they led to has left at `_left_at`
        self._left_at = float("-inf")
        self.openings = trio.Semaphore(OPENINGS_AT_ONCE)
        self.rounds = 0

    def add(self, peer: Polled) -> None:
        """Begin to serve a connection. What its socket already holds is seen in the next round."""
        fd = peer.sock.fileno()
        self._peers.extend([None] * (fd + 1 - len(self._peers)))
        self._peers[fd] = peer
        if self._late:
            self._late = set_peek_offset(peer.sock, 0)
        self._epoll.register(fd, INTEREST)

    def remove(self, peer: Polled) -> None:
        """Stop serving it; what was handled is taken from the socket first. Harmless when it is not served."""
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
        """Have `writable` called when there is room for output. Only for one that fell behind: the others would be
        woken by every acknowledgement of their peer."""
        fd = peer.sock.fileno()
        if self._serves(fd) is peer:
            self._writing.add(fd)
            self._arm(fd)

    def read_periodically(self, peer: Polled) -> None:
        """Read this connection now and then only."""
        fd = peer.sock.fileno()
        if self._serves(fd) is peer:
            self._periodic[fd] = peer
            self._periodic_callback.schedule(tick_after(trio.current_time(), self._cold_read_s / PERIODIC_PARTS))
            self._arm(fd)

    def read_now(self, peer: Polled) -> None:
        """Read a cold connection now. Not to be called while it is being handled."""
        if self._periodic.get(peer.sock.fileno()) is peer:
            self._ends_left = ENDS_AT_ONCE
            self._take(peer)
            self._read(peer, trio.current_time(), False)
            self._see_to_turns()

    def read_on_arrival(self, peer: Polled) -> None:
        """Read it at once again, beginning with what is there."""
        fd = peer.sock.fileno()
        if self._periodic.pop(fd, None) is not None:
            self._ripe.append(peer)  # what it has said while it was cold may have been sent just now
            self._arm(fd)

    async def run(self) -> None:
        """Serve for ever. A connection that fails is ended; the others go on."""
        self._clock = trio.lowlevel.current_clock().current_time  # by itself: a third of `trio.current_time()`
        await self._callback.run()

    async def run_periodic(self) -> None:
        """Read cold connections, a part of them at a time so that they do not keep the others waiting. For ever."""
        await self._periodic_callback.run()

    def _turn(self) -> float | None:
        """What the epoll or the clock has woken us for. Returns when to be woken next, whatever comes."""
        now = self._clock()
        if (due := self._pace.on_wakeup(now)) is None:
            more = self.round()
            due = self._pace.on_round_end(now, more, self._served)
            if self._holds_much():
                due = self._left_at if due is None else min(due, self._left_at)
        return due

    def _holds_much(self) -> bool:
        """Return whether a socket may be full of what was handled: its peer sends no more until that is taken."""
        return any(peer.untaken >= MUCH_BYTES for peer in self._ripe) or any(
            peer.untaken >= MUCH_BYTES for peer in self._leaving
        )

    def _periodic_turn(self) -> float | None:
        now = self._clock()
        if not self._periodic_left:
            part = self._periodic_part = (self._periodic_part + 1) % PERIODIC_PARTS
            self._periodic_left.extend(fd for fd in self._periodic if fd % PERIODIC_PARTS == part)
        self._ends_left = len(self._periodic)  # no round is sure to come for those that would have to wait
        self.turns.new_round()
        while self._periodic_left and self._clock() - now < PERIODIC_TURN_S:
            self._read_periodic(self._periodic_left.popleft(), now)
        self._end_of_round()
        self._see_to_turns()
        if self._periodic_left:
            return NOW
        return tick_after(now, self._cold_read_s / PERIODIC_PARTS) if self._periodic else None

    def _read_periodic(self, fd: int, now: float) -> None:
        if (peer := self._periodic.get(fd)) is not None and peer not in self.turns.waiting:
            self._take(peer)
            self._read(peer, now, False)
            if fd not in self._periodic:  # what it said has warmed it: the next round takes what was handled
                self._untaken.append(peer)

    def round(self) -> bool:
        """Serve what is there now. Whether there is something to be done soon, whatever comes."""
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
        """Return the connections whose handled bytes are to be taken now."""
        handled, self._untaken = self._untaken, []
        if now >= self._left_at:
            handled += self._leaving
            self._leaving, self._ripe, self._left_at = self._ripe, [], now + LEAVES_S
        return handled

    def _serve_waiting(self, now: float) -> None:
        """Serve those that have waited for their turn: one turn each, as far as this round goes."""
        for _ in range(len(self.turns.waiting)):
            if (called := self.turns.call()) is None:
                return
            self.counters["turns_waited_for"] += 1
            self._read(called[0], now, called[1])

    def _see_to_turns(self) -> None:
        """See that a round comes, when a peer waits for its turn."""
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
        """The C's outermost boundary: the Python does the same, and looks at all sockets, since what epoll told is
        lost."""
        log.error("the routine in C has failed; sockets are read in Python from now on", exc_info=error)
        self.counters["native_failed"] += 1
        self._in_c = None
        for peer in self._peers:
            if peer is not None:
                if self._late:
                    set_peek_offset(peer.sock, peer.untaken)
                self._again.append((peer, False))

    def _serve(self, fd: int, event: int, now: float, begin: int = 0, size: int = NOT_LOOKED) -> None:
        """Serve one connection, of which so many bytes have been looked at, and those up to `begin` handled."""
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
        """Tell epoll what is waited for; what is there already is told again."""
        if self._serves(fd) is not None:
            interest = INTEREST_PERIODIC if fd in self._periodic else INTEREST
            self._epoll.modify(fd, interest | WRITABLE if fd in self._writing else interest)
