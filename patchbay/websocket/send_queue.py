"""Writes the frames of one WebSocket connection: at once while the peer keeps up, else from a bounded queue.

*Lossy* frames (audio) that have waited too long are dropped, oldest first, and counted, so a listener that reads again
is live. *Control* frames (start, stop, errors, answers) are never dropped; a peer that leaves too many of them unread
is disconnected. A frame that was written in part is always completed first. No frame follows a close frame (RFC 6455
§5.5.1).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import trio

from patchbay.protocol.handover import MAX_UNSENT_BYTES
from patchbay.websocket.waiting_frames import WaitingFrames

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

CONTROL_MAX = 1000  # frames
CONTROL_MAX_BYTES = 256 * 1024  # a frame that is longer may wait alone


class BatchWriter(Protocol):
    """Writes frames of many send queues in one batch, so must know which of the queues keep up."""

    def invalidate(self) -> None:
        """Note that a send queue has fallen behind or caught up, or has more or fewer batch writers."""

    def flush_batch(self) -> None:
        """Write all frames that wait in the batch, so that the next frame of a send queue comes behind them."""


class _HotSlots:
    """Holds the slot that each frame needs, in front of the others."""

    __slots__ = ("put",)

    put: Callable[[bytes], int]


class SendQueue(_HotSlots):
    """Writes whole frames to a non-blocking socket, and never waits. `drain` writes queued frames.

    Args:
        lossy_s: how long a lossy frame may wait.
        control_max: how many control frames may wait before the connection is aborted.

    Attributes:
        fd: the socket's descriptor.
        behind: frames are queued, and all others are queued behind them.
        broken: the connection was aborted or detached: nothing is written any more.
        put: sends or queues a lossy frame, and returns how many of its bytes were sent, queued or dropped.
        overflowed: the connection was aborted since the peer does not read.
        is_close_queued: a close frame was written or queued.
        on_behind: called when frames begin to wait: `drain` must be called once the socket is writable.
        on_broken: called once when the connection is aborted.
        on_remainder: called with the remainder of a frame that was written in part, and with b"" when the frame is
            complete. A successor must write the remainder first.
    """

    __slots__ = ("_batch_writers", "_control_max", "_remainder", "_send", "_waiting", "behind", "broken", "fd", "is_close_queued", "on_behind", "on_broken", "on_remainder", "overflowed")  # fmt: skip

    def __init__(self, sock: socket.socket, *, lossy_s: float, control_max: int = CONTROL_MAX) -> None:
        self.fd = sock.fileno()
        self._batch_writers: tuple[BatchWriter, ...] = ()
        self._send = sock.send
        self.put = sock.send
        self._control_max = control_max
        self._remainder = b""
        self._waiting = WaitingFrames(lossy_s)
        self.behind = False
        self.broken = False
        self.overflowed = False
        self.is_close_queued = False
        self.on_behind: Callable[[], None] = lambda: None
        self.on_broken: Callable[[], None] = lambda: None
        self.on_remainder: Callable[[bytes], None] = lambda remainder: None

    @property
    def dropped(self) -> int:
        """Return how many lossy frames were dropped, since they were too old or too many."""
        return self._waiting.dropped

    @property
    def accepts_batches(self) -> bool:
        """Tell whether the batch writer may write to the socket: there is only one, and the peer keeps up."""
        return not self.behind and len(self._batch_writers) == 1

    @property
    def is_waiting(self) -> bool:
        """Tell whether a frame or a remainder waits to be written."""
        return not self.broken and bool(self._remainder or self._waiting)

    def add_batch_writer(self, batch_writer: BatchWriter) -> None:
        """Notify a batch writer from now on, and flush it before frames are written here."""
        self._set_batch_writers((*self._batch_writers, batch_writer))

    def remove_batch_writer(self, batch_writer: BatchWriter) -> None:
        """Remove a batch writer, after it was flushed."""
        self._set_batch_writers(tuple(other for other in self._batch_writers if other is not batch_writer))

    def write(self, frame: bytes) -> None:
        """Write a lossy frame."""
        if self._batch_writers:
            self._flush_batches()
        try:
            sent = self.put(frame)
        except OSError as error:
            self.on_send_error(frame, error)
            return
        if sent != len(frame):
            self.on_partial_send(frame, sent)

    def on_send_error(self, frame: bytes, error: OSError) -> None:
        """Queue a lossy frame when the send buffer was full; abort the connection on any other error."""
        if isinstance(error, BlockingIOError):
            self._queue_lossy(frame)
            self._fall_behind()
        else:
            self.abort()

    def on_partial_send(self, frame: bytes, sent: int) -> None:
        """Keep the remainder of a frame that was sent in part, up to `sent`."""
        self._keep_remainder(frame[sent:])
        self._fall_behind()

    def on_send_result(self, frame: bytes, result: int) -> None:
        """Handle a lossy frame that a batch writer could not send completely.

        Args:
            result: how many bytes were sent; or -errno.
        """
        if result < 0:
            self.on_send_error(frame, OSError(-result, os.strerror(-result)))
        else:
            self.on_partial_send(frame, result)

    def write_control(self, frame: bytes) -> bool:
        """Write a control frame, unless a close frame was written. Return False when the connection is broken."""
        if self.broken or self.is_close_queued:
            return not self.broken
        self._flush_batches()
        self._waiting.add_control(frame)
        if not self.behind:
            self._write_waiting()
            if self.behind and not self.broken:
                self.on_behind()
        elif self._waiting.control_frames > self._control_max or self._waiting.control_bytes > max(
            CONTROL_MAX_BYTES, len(frame)
        ):
            self.overflow()
        return not self.broken

    def write_close(self, frame: bytes) -> None:
        """Write a close frame, the last of all frames. Queued lossy frames are dropped."""
        if self.broken or self.is_close_queued:
            return
        self._flush_batches()
        self._waiting.clear_lossy()
        self._waiting.add_control(frame)
        self.is_close_queued = True
        was_behind = self.behind
        self._set_behind(True)
        if not was_behind:
            self._write_waiting()
            if self.is_waiting:
                self.on_behind()

    def drain(self) -> None:
        """Write queued frames until the send buffer is full."""
        if self.behind and not self.broken:
            self._write_waiting()

    def _write_waiting(self) -> None:
        try:
            if self._remainder:
                self._keep_remainder(self._remainder[self._send(self._remainder) :])
            while not self._remainder and (frame := self._next()) is not None:
                sent = self._send(frame)
                self._waiting.remove_first()
                if sent != len(frame):
                    self._keep_remainder(frame[sent:])
        except BlockingIOError:
            self._set_behind(True)
        except OSError:
            self.abort()
        else:
            self._set_behind(bool(self._remainder))

    def unsent(self) -> bytes | None:
        """Return the bytes that a successor must write first: a remainder, then whole frames.

        None: there are too many, or a close frame was queued, or the connection is broken.
        """
        if self.is_close_queued:
            return None
        self._flush_batches()
        waiting = self._remainder + self._waiting.joined()
        return waiting if len(waiting) <= MAX_UNSENT_BYTES and not self.broken else None

    def restore(self, unsent: bytes) -> None:
        """Write the bytes that a predecessor has left unsent. Call it before any other write."""
        self._keep_remainder(unsent)
        self.drain()

    def detach(self) -> None:
        """Drop all frames and write nothing more: a successor has the connection."""
        self._flush_batches()
        self.broken = True
        self._set_behind(True)
        self.put = len  # drops every frame
        self._waiting.clear()
        self._remainder = b""

    def overflow(self) -> None:
        """Abort the connection, since the peer does not read."""
        self.overflowed = True
        self.abort()

    def abort(self) -> None:
        """Write nothing more, as the last frame may be incomplete, and call `on_broken`."""
        if not self.broken:
            self.detach()
            self.on_broken()

    def _fall_behind(self) -> None:
        self._set_behind(True)
        self.on_behind()

    def _set_behind(self, behind: bool) -> None:
        behind = behind or self.is_close_queued  # for ever: no frame may follow the close frame
        if behind != self.behind:
            for batch_writer in self._batch_writers:
                batch_writer.invalidate()
        self.behind = behind
        self.put = len if self.is_close_queued else self._queue_lossy if behind else self._send

    def _set_batch_writers(self, batch_writers: tuple[BatchWriter, ...]) -> None:
        self._flush_batches()
        for batch_writer in {*self._batch_writers, *batch_writers}:
            batch_writer.invalidate()
        self._batch_writers = batch_writers

    def _flush_batches(self) -> None:
        for batch_writer in self._batch_writers:
            batch_writer.flush_batch()

    def _keep_remainder(self, remainder: bytes) -> None:
        self._remainder = remainder
        if remainder:
            self._set_behind(True)
        self.on_remainder(remainder)

    def _next(self) -> bytes | None:
        return self._waiting.first_control() or self._waiting.first_lossy(trio.current_time())

    def _queue_lossy(self, frame: bytes) -> int:
        self._waiting.add_lossy(frame, trio.current_time())
        return len(frame)


def write_to_all(send_queues: tuple[SendQueue, ...], frame: bytes) -> int:
    """Write a lossy frame to each of many send queues, and return how many queues there are.

    Hot path: one system call for each peer that keeps up.
    """
    size = len(frame)
    for send_queue in send_queues:
        put = send_queue.put  # on a line of its own: CPython reads a slot fast, but calls its value slowly
        try:
            sent = put(frame)
        except OSError as error:
            send_queue.on_send_error(frame, error)
            continue
        if sent != size:
            send_queue.on_partial_send(frame, sent)
    return len(send_queues)
