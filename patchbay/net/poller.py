"""Reads all media sockets of a process: one private epoll, a round at a time.

Why not a task for each socket: trio would re-arm, wake and schedule for every frame. A private epoll keeps its
registrations, and its own descriptor is the one thing that is waited for (`patchbay.net.event_loop`); a round then serves
whatever is there.

A round *looks* at what the sockets hold (MSG_PEEK), handles the complete frames, and takes them at the start of the
next round at the earliest, when what they led to has left this process. So a crash in between loses nothing: the next
process finds the bytes still in the socket. Untaken bytes stay readable, which is why the epoll is edge-triggered.

Taking costs as much as looking. Where whoever hears of a frame twice can tell (`take_late`), the kernel is asked to
remember how far we have looked (SO_PEEK_OFF; for TCP since Linux 6.9), and many frames are taken at once.

Of all that is not plain, a peer may have a little done in each round (`patchbay.net.turns`): a flood is slow, and the others are not.

A connection whose input nobody waits for can be made *cold*: it leaves the epoll and is read a few times a second,
many frames at a time, which is where most of a frame's price goes: waking up.
"""

from __future__ import annotations

import logging
import select
from collections import Counter, deque
from typing import TYPE_CHECKING

import trio

from patchbay.net.event_loop import NOW, Callback
from patchbay.net.peek import DISCARD, PEEK, set_peek_offset
from patchbay.net.poll_clock import PollClock
from patchbay.net.turns import READING_S, Turns
from patchbay.process.periodic import tick_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchbay.net.polled import Polled, ReadingInC

log = logging.getLogger(__name__)

BUFFER_BYTES = 64 * 1024  # looked at, at once, of one socket
LATE_BYTES = 2048  # some five frames: more at once saves nothing, and is read again after a crash
EVENTS_PER_ROUND = 2048
NOT_LOOKED = -1
COLD_PARTS = 5
COLD_TURN_S = 0.005  # then others are served before the rest of a part
OPENINGS_AT_ONCE = 4  # a crowd that comes at once opens one after the other, with rounds in between; …
ENDS_AT_ONCE = 3  # … and so it ends
WRITABLE = select.EPOLLOUT
INTEREST = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
INTEREST_COLD = select.EPOLLRDHUP | select.EPOLLET
MUST_WAIT = 1 << 16  # no event of epoll: the rest of a connection's many plain frames has to wait (`reading.h`)
GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Poller:
    """Serves the sockets that were added, until cancelled.

    Args:
        cold_read_s: how often a cold connection is read.
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
        cold_read_s: float = 0.1,
        take_late: bool = False,
        in_c: ReadingInC | None = None,
    ) -> None:
        self._pace = PollClock(linger_s)
        self._clock = trio.current_time
        self._cold_read_s = cold_read_s
        self._late = take_late
        self._in_c = in_c
        self._cold: dict[int, Polled] = {}
        self._cold_part = 0
        self._cold_left: deque[int] = deque()  # of that part
        self._cold_chore = Callback(self._cold_turn)
        self._writing: set[int] = set()  # descriptors that wait for room for output
        self._end_of_round = end_of_round
        self._epoll = select.epoll()
        self._callback = Callback(self._turn, self._epoll.fileno())
        self.turns: Turns[Polled] = Turns(lambda: self._clock())
        self._peers: list[Polled | None] = []  # by descriptor: the first of many things that a frame looks up
        self._untaken: list[Polled] = []  # to be taken soon
        self._ripe: list[Polled] = []  # to be taken with the next round, whenever that is
        self._again: list[tuple[Polled, bool]] = []
        self._ending: deque[Polled] = deque()  # that have gone, and wait for their turn to be ended
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._served = 0  # connections, in the last round
        self._ends_left = ENDS_AT_ONCE  # how many more of them may end
        self.openings = trio.Semaphore(OPENINGS_AT_ONCE)
        self.counters: Counter[str] = Counter()  # connections ended, by why; turns waited for; failures of the C
        self.rounds = 0
        self.failed = 0  # connections ended by a fault of ours

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
            self._cold.pop(fd, None)
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

    def cool(self, peer: Polled) -> None:
        """Read this connection now and then only."""
        fd = peer.sock.fileno()
        if self._serves(fd) is peer:
            self._cold[fd] = peer
            self._cold_chore.schedule(tick_after(trio.current_time(), self._cold_read_s / COLD_PARTS))
            self._arm(fd)

    def look(self, peer: Polled) -> None:
        """Read a cold connection now. Not to be called while it is being handled."""
        if self._cold.get(peer.sock.fileno()) is peer:
            self._ends_left = ENDS_AT_ONCE
            self._take(peer)
            self._read(peer, trio.current_time(), False)
            self._see_to_turns()

    def warm(self, peer: Polled) -> None:
        """Read it at once again, beginning with what is there."""
        fd = peer.sock.fileno()
        if self._cold.pop(fd, None) is not None:
            self._take(peer)
            self._arm(fd)

    async def run(self) -> None:
        """Serve for ever. A connection that fails is ended; the others go on."""
        self._clock = trio.lowlevel.current_clock().current_time  # by itself: a third of `trio.current_time()`
        await self._callback.run()

    async def run_cold(self) -> None:
        """Read cold connections, a part of them at a time so that they do not keep the others waiting. For ever."""
        await self._cold_chore.run()

    def _turn(self) -> float | None:
        """What the epoll or the clock has woken us for. Returns when to be woken next, whatever comes."""
        now = self._clock()
        if (due := self._pace.on_wakeup(now)) is None:
            more = self.round()
            due = self._pace.on_round_end(now, more, self._served)
        return due

    def _cold_turn(self) -> float | None:
        now = self._clock()
        if not self._cold_left:
            part = self._cold_part = (self._cold_part + 1) % COLD_PARTS
            self._cold_left.extend(fd for fd in self._cold if fd % COLD_PARTS == part)
        self._ends_left = len(self._cold)  # no round is sure to come for those that would have to wait
        self.turns.new_round()
        while self._cold_left and self._clock() - now < COLD_TURN_S:
            self._read_cold(self._cold_left.popleft(), now)
        self._end_of_round()
        self._see_to_turns()
        if self._cold_left:
            return NOW
        return tick_after(now, self._cold_read_s / COLD_PARTS) if self._cold else None

    def _read_cold(self, fd: int, now: float) -> None:
        if (peer := self._cold.get(fd)) is not None and peer not in self.turns.waiting:
            self._take(peer)
            self._read(peer, now, False)
            if fd not in self._cold:  # what it said has warmed it: the next round takes what was handled
                self._untaken.append(peer)

    def round(self) -> bool:
        """Serve what is there now. Whether there is something to be done soon, whatever comes."""
        self.rounds += 1
        self.turns.new_round()
        self._ends_left = ENDS_AT_ONCE
        now = self._clock()
        handled, self._untaken, self._ripe = self._untaken + self._ripe, [], []
        self._take_all(handled)
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
        """The C's outermost boundary: the Python does the same, and looks at all sockets, since what epoll told is lost."""
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
            elif self.turns.waiting and self.turns.note_gone(peer, gone):
                return
            self._read(peer, now, gone, begin, size)

    def take_handled(self, silent_s: float = 0.0) -> None:
        """Take what has been handled and sent on, of connections that have been silent for so long: of the others it is
        taken as more comes. With `take_late`, to be called now and then."""
        silent_since = trio.current_time() - silent_s
        for peer in self._peers:
            if peer is not None and peer.untaken and peer.last_heard <= silent_since:
                self._take(peer)

    def _serves(self, fd: int) -> Polled | None:
        return self._peers[fd] if 0 <= fd < len(self._peers) else None

    def _arm(self, fd: int) -> None:
        """Tell epoll what is waited for; what is there already is told again."""
        if self._serves(fd) is not None:
            interest = INTEREST_COLD if fd in self._cold else INTEREST
            self._epoll.modify(fd, interest | WRITABLE if fd in self._writing else interest)

    def _read(self, peer: Polled, now: float, gone: bool, begin: int = 0, size: int = NOT_LOOKED) -> None:
        late = self._late
        try:
            if size == NOT_LOOKED:
                size = peer.sock.recv_into(self._buffer, BUFFER_BYTES, PEEK)
                begin = 0 if late else peer.untaken
            end = begin
            if size > begin:
                before, peer.last_heard = peer.last_heard, now
                end = peer.handle(self._buffer, begin, size)
                if end == begin:
                    peer.last_heard = before  # half a frame is no sign of life
                peer.untaken += end - begin
            if gone or not 0 < size < BUFFER_BYTES:
                self._look_at_the_end(peer, gone, size, end > (0 if late else begin))
            elif late and end < size:
                set_peek_offset(peer.sock, peer.untaken)  # the rest is to be seen again, with what follows it
            if not late or peer.take_soon:
                peer.take_soon = False
                self._untaken.append(peer)
            elif peer.untaken >= LATE_BYTES:
                self._ripe.append(peer)
        except BlockingIOError:
            return
        except OSError:
            self._end(peer)
        except Exception:
            self.failed += 1
            log.exception("connection ended by a fault of ours")
            peer.end_of_input()

    def _look_at_the_end(self, peer: Polled, gone: bool, size: int, progress: bool) -> None:
        """The peer has gone, or has sent more than we look at, at once."""
        if self._late:
            set_peek_offset(peer.sock, peer.untaken)
        if self.turns.note_gone(peer, gone):
            return
        more = progress or (not self._late and peer.untaken > 0)
        if size == 0 or (gone and not more):
            self._end(peer)
        elif more:
            self._again.append((peer, gone))  # there may be more behind, and no new edge will say so

    def _end(self, peer: Polled) -> None:
        if self._serves(peer.sock.fileno()) is not peer:
            return  # it has ended meanwhile
        if self._ends_left > 0:
            self._ends_left -= 1
            peer.end_of_input()
        else:
            self._ending.append(peer)

    def _take(self, peer: Polled) -> None:
        count, peer.untaken = peer.untaken, 0
        try:
            while count > 0:
                # TCP discards without copying; the buffer is for sockets that can't. What was seen in several looks may
                # be more than it holds.
                taken = peer.sock.recv_into(self._buffer, min(count, BUFFER_BYTES), DISCARD)
                count = count - taken if taken else 0
        except OSError:
            return  # reset meanwhile; the next look says so
