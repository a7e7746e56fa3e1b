"""Peeks at one socket after the other, has the complete frames handled, and takes the handled bytes later.

Bytes are peeked at (MSG_PEEK), handled, and taken when what they led to has left this process. So a crash in between
loses nothing: the next process finds the bytes in the socket. Taking costs as much as peeking. Where it does no harm
that frames are handled again after a crash (`take_late`), the kernel is asked to remember how far was peeked
(SO_PEEK_OFF; for TCP since Linux 6.9), and many frames are taken at once.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import TYPE_CHECKING

import trio

from patchbay.net.peek import DISCARD, PEEK, set_peek_offset
from patchbay.net.turns import Turns

if TYPE_CHECKING:
    from patchbay.net.polled import Polled

log = logging.getLogger(__name__)

BUFFER_BYTES = 64 * 1024  # of one socket, peeked at in one call
LATE_BYTES = 2048  # some five frames: more at once saves nothing, and is read again after a crash
NOT_LOOKED = -1
ENDS_AT_ONCE = 3  # of a crowd that ends at once, with rounds in between


class SocketReader:
    """Reads the sockets that `Poller` finds readable.

    Args:
        take_late: frames may be handled again after a crash (those of the last tenth of a second), and do no harm.

    Attributes:
        turns: shares out all that is not plain.
        counters: connections ended, by reason; turns waited for; failures of the C.
        failed: connections ended by a fault of ours.
    """

    def __init__(self, *, take_late: bool) -> None:
        self._clock = trio.current_time
        self._late = take_late
        self._peers: list[Polled | None] = []  # by descriptor: the first of many things that a frame looks up
        self._untaken: list[Polled] = []  # to be taken soon
        self._ripe: list[Polled] = []  # to be taken once what they led to has left this process
        self._again: list[tuple[Polled, bool]] = []  # to be read in the next round, and whether the peer has gone
        self._ending: deque[Polled] = deque()  # that have gone, and wait for their turn to be ended
        self._ends_left = ENDS_AT_ONCE  # how many more connections may end in this round
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self.turns: Turns[Polled] = Turns(lambda: self._clock())
        self.counters: Counter[str] = Counter()
        self.failed = 0

    def take_handled(self, silent_s: float = 0.0) -> None:
        """Take what has been handled and sent on, of connections that have been silent for so long: of the others it is
        taken as more comes. With `take_late`, to be called now and then."""
        silent_since = trio.current_time() - silent_s
        for peer in self._peers:
            if peer is not None and peer.untaken and peer.last_heard <= silent_since:
                self._take(peer)

    def _serves(self, fd: int) -> Polled | None:
        return self._peers[fd] if 0 <= fd < len(self._peers) else None

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
        if self.turns.set_gone(peer, gone):
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
