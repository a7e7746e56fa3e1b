"""Writes events to one client, and keeps its position in the stream of events.

There is no queue: whenever the socket is writable, the next events are taken from those in memory, so a slow client
costs no more than a fast one. `feed` writes older events, from the journal. Control frames are written between events.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from actors.call_events.clients.cursor import PREFIX_MAX_BYTES, UNKNOWN_OFFSET, Cursor, encode_cursor
from patchbay.net.tcp_info import NO_COUNT, bytes_written
from patchbay.websocket.send_queue import CONTROL_MAX_BYTES, SendQueue

if TYPE_CHECKING:
    from actors.call_events.clients.recent_events import RecentEvents
    from actors.call_events.entry import Interest
    from patchbay.handover.connection import HandedConnection

PIECE_MAX_BYTES = 64 * 1024  # of events that are written at once; no more is held for a client
CURSOR_EVERY = 256  # offsets between two cursors; a successor searches at most so many
CONTROLS_MAX = 64  # waiting control frames; a peer that causes more is aborted


class EventWriter(SendQueue):
    """Writes events to a client. Before `start` or `resume`, only the handshake's answer is written.

    Args:
        tail: the newest events.
        interest: the events that the client gets.

    Attributes:
        cursor: the offset up to which all wanted events were written, or begun to be.
        written: number of bytes that this process has written.
        epoch: the journal's epoch.
        is_begun: `start` or `resume` was called.
        idle: set when nothing waits to be written.
        starved: set when the next events are only in the journal.
    """

    __slots__ = ("_base", "_controls", "_handed", "_interest", "_is_closing", "_last_set", "_tail", "cursor", "epoch", "idle", "is_begun", "starved", "written")  # fmt: skip

    def __init__(self, handed: HandedConnection, tail: RecentEvents, interest: Interest) -> None:
        super().__init__(handed.sock, lossy_s=0.0)
        self._handed = handed
        self._tail = tail
        self._interest = interest
        self._controls: deque[bytes] = deque()
        self._base = NO_COUNT
        self._last_set: int | None = None  # offset of the last cursor that was set; None: a cursor must be set first
        self._is_closing = False
        self.cursor = 0
        self.written = 0
        self.epoch = ""
        self.is_begun = False
        self.idle = trio.Event()
        self.starved = trio.Event()

    def start(self, epoch: str, offset: int, first: bytes) -> None:
        """Write the first bytes, a welcome, then all wanted events after an offset."""
        if self.behind:  # not even the handshake's answer was written
            self.abort()
            return
        self._attach(epoch, offset, first)
        if self._base == NO_COUNT:
            self._handed.set_state(encode_cursor(Cursor(epoch, NO_COUNT, UNKNOWN_OFFSET)))
        elif len(first) <= PREFIX_MAX_BYTES:
            self._set_cursor(first)
        self.pull()

    def resume(self, cursor: Cursor, offset: int, rest: bytes) -> None:
        """Continue for a predecessor that has set `cursor`, and has written up to `offset` except for `rest`."""
        self._attach(cursor.epoch, offset, rest)
        self._last_set = cursor.offset
        self.pull()

    def switch_journal(self, epoch: str, offset: int) -> None:
        """Continue in another journal after an offset. The client has had all events of the old one."""
        self.epoch, self.cursor, self._last_set = epoch, offset, None

    def pull(self) -> None:
        """Write the next events until the send buffer is full."""
        if self.broken or not self.is_begun:
            return
        try:
            while self._fill():
                sent = self._send(self._remainder)
                self.written += sent
                self._remainder = self._remainder[sent:]
        except BlockingIOError:
            self._fall_behind()
        except OSError:
            self.abort()
        else:
            self.behind = False
            self.idle.set()

    def feed(self, piece: bytes, upto: int) -> None:
        """Write events from the journal, up to an offset. Must be called when nothing waits to be written."""
        self._set_cursor_if_due(upto)
        self._remainder, self.cursor = piece, upto
        self.pull()

    def stop(self) -> None:
        """Write no further events."""
        self._is_closing = True

    def write_close(self, frame: bytes) -> None:
        """Write a close frame behind the current bytes. It is the last frame."""
        if not self.is_begun:
            super().write_close(frame)
        elif not (self.broken or self.is_close_queued):
            self.stop()
            self._controls.append(frame)
            self.is_close_queued = True
            self.pull()

    @property
    def is_waiting(self) -> bool:
        return not self.broken and bool(self._remainder or self._controls) if self.is_begun else super().is_waiting

    async def until_idle(self) -> None:
        """Wait until nothing waits to be written. Cancelling is safe."""
        while self.behind:
            self.idle = trio.Event()
            await self.idle.wait()

    # ---- for the WebSocket connection

    def write_control(self, frame: bytes) -> bool:
        if not self.is_begun or self.is_close_queued:
            return super().write_control(frame)
        if len(self._controls) >= CONTROLS_MAX or sum(map(len, self._controls)) > CONTROL_MAX_BYTES:
            self.overflow()
        elif not self.broken:
            self._controls.append(frame)
            self.pull()
        return not self.broken

    def drain(self) -> None:
        if self.is_begun:
            self.pull()
        else:
            super().drain()

    def unsent(self) -> bytes | None:
        """Return no bytes, since a successor computes them from the cursor; without a count, the remainder."""
        if not self.is_begun or self.is_close_queued:
            return super().unsent()
        if self._base == NO_COUNT:
            self._handed.set_state(encode_cursor(Cursor(self.epoch, NO_COUNT, self.cursor)))
            return self._remainder
        return b""

    # ---- internal

    def _attach(self, epoch: str, offset: int, rest: bytes) -> None:
        self._base, self.written = bytes_written(self._handed.sock), 0
        self.epoch, self.cursor, self.is_begun = epoch, offset, True
        self._remainder = rest

    def _fill(self) -> bool:
        """Fill the remainder with the next frames. Return whether there is something to write."""
        if self._remainder:
            return True
        if self._last_set is None:
            self._set_cursor(b"")
        if self._controls:
            self._remainder = self._controls.popleft()
            self._set_cursor(self._remainder)
            return True
        if self._is_closing or self.cursor >= self._tail.last:
            return False
        if self.cursor < self._tail.before:
            self.starved.set()
            return False
        piece, upto = self._tail.after(self.cursor, self._interest, PIECE_MAX_BYTES)
        self._set_cursor_if_due(upto)
        self._remainder, self.cursor = piece, upto
        return bool(piece) or self._fill()

    def _set_cursor_if_due(self, upto: int) -> None:
        if self._last_set is None or upto - self._last_set >= CURSOR_EVERY:
            self._set_cursor(b"")

    def _set_cursor(self, prefix: bytes) -> None:
        """Set the cursor at the gateway, before `prefix` is written. Must be called between two frames."""
        if self._base != NO_COUNT:
            self._last_set = self.cursor
            cursor = Cursor(self.epoch, self._base + self.written, self.cursor, prefix)
            self._handed.set_state(encode_cursor(cursor))
