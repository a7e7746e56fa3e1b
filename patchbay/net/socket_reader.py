"""Peeks at sockets, lets connections handle the complete frames, and takes the handled bytes later.

Bytes are peeked at (MSG_PEEK), handled, and taken when the messages that they led to have left this process. So a crash
in between loses nothing: the next process finds the bytes in the socket. To take costs as much as to peek. Where frames
may be handled again after a crash (`take_late`), the kernel remembers how far was peeked (SO_PEEK_OFF; for TCP since
Linux 6.9), and many frames are taken at once.
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

BUFFER_BYTES = 64 * 1024  # of one socket that one call peeks at
LATE_BYTES = 2048  # some five frames: to take more at once saves nothing, and more are repeated after a crash
NOT_PEEKED = -1
ENDS_AT_ONCE = 3  # connections that may end in one round; rounds go on between those of a crowd


class SocketReader:
    """Reads the sockets that `Poller` finds readable.

    Args:
        take_late: frames of the last tenth of a second may be handled again after a crash.

    Attributes:
        turns: schedules the handling of frames that are not plain.
        counters: ended connections by reason, `turns_waited_for`, `native_failed`.
        failed: number of connections that were ended by a fault of ours.
    """

    def __init__(self, *, take_late: bool) -> None:
        self._clock = trio.current_time
        self._late = take_late
        self._peers: list[Polled | None] = []  # by descriptor
        self._untaken: list[Polled] = []  # to be taken soon
        self._ripe: list[Polled] = []  # to be taken once their messages have left this process
        self._again: list[tuple[Polled, bool]] = []  # to be read in the next round, and whether the peer has gone
        self._ending: deque[Polled] = deque()  # have gone, and are ended in one of the next rounds
        self._ends_left = ENDS_AT_ONCE  # of this round
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self.turns: Turns[Polled] = Turns(lambda: self._clock())
        self.counters: Counter[str] = Counter()
        self.failed = 0

    def take_handled(self, silent_s: float = 0.0) -> None:
        """Take the handled bytes of connections that have been silent for `silent_s`.

        Must be called from time to time with `take_late`: bytes are only taken when more arrive.
        """
        silent_since = trio.current_time() - silent_s
        for peer in self._peers:
            if peer is not None and peer.untaken and peer.last_heard <= silent_since:
                self._take(peer)

    def _serves(self, fd: int) -> Polled | None:
        return self._peers[fd] if 0 <= fd < len(self._peers) else None

    def _read(self, peer: Polled, now: float, gone: bool, begin: int = 0, size: int = NOT_PEEKED) -> None:
        late = self._late
        try:
            if size == NOT_PEEKED:
                size = peer.sock.recv_into(self._buffer, BUFFER_BYTES, PEEK)
                begin = 0 if late else peer.untaken
            end = begin
            if size > begin:
                before, peer.last_heard = peer.last_heard, now
                end = peer.handle(self._buffer, begin, size)
                if end == begin:
                    peer.last_heard = before  # an incomplete frame is no sign of life
                peer.untaken += end - begin
            if gone or not 0 < size < BUFFER_BYTES:
                self._check_end(peer, gone, size, end > (0 if late else begin))
            elif late and end < size:
                set_peek_offset(peer.sock, peer.untaken)  # so the incomplete frame is peeked at again
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
            log.exception("a connection was ended by a fault of ours; the others go on")
            peer.end_of_input()

    def _check_end(self, peer: Polled, gone: bool, size: int, progress: bool) -> None:
        """End a connection whose peer has gone, or read it again: the buffer may not have held all its bytes."""
        if self._late:
            set_peek_offset(peer.sock, peer.untaken)
        if self.turns.set_gone(peer, gone):
            return
        more = progress or (not self._late and peer.untaken > 0)
        if size == 0 or (gone and not more):
            self._end(peer)
        elif more:
            self._again.append((peer, gone))  # more bytes may follow, without a new edge

    def _end(self, peer: Polled) -> None:
        if self._serves(peer.sock.fileno()) is not peer:
            return  # the connection has ended meanwhile
        if self._ends_left > 0:
            self._ends_left -= 1
            peer.end_of_input()
        else:
            self._ending.append(peer)

    def _take(self, peer: Polled) -> None:
        count, peer.untaken = peer.untaken, 0
        try:
            while count > 0:
                # TCP discards without copying; other sockets copy into the buffer. Bytes of several peeks may be more
                # than the buffer holds.
                taken = peer.sock.recv_into(self._buffer, min(count, BUFFER_BYTES), DISCARD)
                count = count - taken if taken else 0
        except OSError:
            return  # the peer has reset the connection; the next peek reports that
