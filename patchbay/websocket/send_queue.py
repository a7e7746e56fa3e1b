"""Writes the frames of one WebSocket connection: at once while the peer keeps up, queued in bounds while it does not.

There are two kinds of frames. *Lossy* frames (audio) grow old: a frame that has waited longer than allowed is dropped,
oldest first, and counted, so that a listener that reads again is live. *Control* frames (start, stop, errors, answers)
are never dropped; a peer that leaves too many of them unread, or too many bytes, is disconnected. A frame that was
written in part is always finished first. Nothing follows a close frame (RFC 6455 §5.5.1).
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
CONTROL_MAX_BYTES = 256 * 1024  # that wait; a frame that is longer may wait alone


class Follower(Protocol):
    """Writes frames to many send queues at once, so it must know which of them keep up."""

    def refresh(self) -> None:
        """Note that a send queue has fallen behind, has caught up, or has more or fewer followers."""

    def settle(self) -> None:
        """Write all frames that are not written yet, so that what a send queue writes next comes behind them."""


class _HotSlots:
    """Holds the slot that every frame needs, in front of the others."""

    __slots__ = ("put",)

    put: Callable[[bytes], int]


class SendQueue(_HotSlots):
    """Writes whole frames to a non-blocking socket, and never waits: `drain` writes what is queued.

    Args:
        lossy_s: how long a lossy frame may wait.
        control_max: how many control frames may wait before the connection is broken off.

    Attributes:
        fd: the socket's descriptor.
        behind: frames wait to be written; no frame is written past them.
        put: takes a lossy frame, and returns how many bytes need no more care. `write` calls it.
        overflowed: the connection was broken off since the peer has not read what was sent.
        finished: a close frame was written, or waits to be written.
        on_behind: called when frames begin to wait: `drain` must be called once the kernel has room.
        on_broken: called once when the connection can't be written to any more, or is too far behind.
        on_rest: called with what is left of a frame that was written in part, and with b"" when the frame is whole. A
            successor must write the rest first, or the peer would read half a frame.
    """

    __slots__ = ("_control_max", "_followers", "_rest", "_send", "_waiting", "behind", "broken", "fd", "finished", "on_behind", "on_broken", "on_rest", "overflowed")  # fmt: skip

    def __init__(self, sock: socket.socket, *, lossy_s: float, control_max: int = CONTROL_MAX) -> None:
        self.fd = sock.fileno()
        self._followers: tuple[Follower, ...] = ()
        self._send = sock.send
        self.put = sock.send
        self._control_max = control_max
        self._rest = b""
        self._waiting = WaitingFrames(lossy_s)
        self.behind = False
        self.broken = False
        self.overflowed = False
        self.finished = False
        self.on_behind: Callable[[], None] = lambda: None
        self.on_broken: Callable[[], None] = lambda: None
        self.on_rest: Callable[[bytes], None] = lambda rest: None

    @property
    def dropped(self) -> int:
        """Return how many lossy frames grew too old."""
        return self._waiting.dropped

    @property
    def is_quick(self) -> bool:
        """Tell whether a follower may write frames past this queue: the peer keeps up, and has this one follower."""
        return not self.behind and len(self._followers) == 1

    @property
    def is_waiting(self) -> bool:
        """Tell whether a frame, or a part of one, waits to be written."""
        return not self.broken and bool(self._rest or self._waiting)

    def follow(self, follower: Follower) -> None:
        """Tell a follower from now on whether the peer keeps up."""
        self._change_followers((*self._followers, follower))

    def unfollow(self, follower: Follower) -> None:
        """Forget a follower, after it has written what it has for this connection."""
        self._change_followers(tuple(other for other in self._followers if other is not follower))

    def write(self, frame: bytes) -> None:
        """Write a lossy frame."""
        if self._followers:
            self._settle()
        try:
            taken = self.put(frame)
        except OSError as error:
            self.refused(frame, error)
            return
        if taken != len(frame):
            self.cut_short(frame, taken)

    def refused(self, frame: bytes, error: OSError) -> None:
        """Queue a lossy frame that the kernel has not taken; break the connection off on any error but a full buffer."""
        if isinstance(error, BlockingIOError):
            self._queue_lossy(frame)
            self._fall_behind()
        else:
            self.break_off()

    def cut_short(self, frame: bytes, taken: int) -> None:
        """Keep the rest of a frame of which the kernel has taken the first bytes."""
        self._keep_rest(frame[taken:])
        self._fall_behind()

    def not_taken(self, frame: bytes, result: int) -> None:
        """Keep what the kernel has not taken of a lossy frame that a follower has sent.

        Args:
            result: how many bytes it has taken; or -errno.
        """
        if result < 0:
            self.refused(frame, OSError(-result, os.strerror(-result)))
        else:
            self.cut_short(frame, result)

    def write_control(self, frame: bytes) -> bool:
        """Write a control frame; nothing is written after the close frame. Return False when the connection is broken."""
        if self.broken or self.finished:
            return not self.broken
        self._settle()
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

    def finish(self, frame: bytes) -> None:
        """Write a close frame, the last of all. Lossy frames that wait are dropped."""
        if self.broken or self.finished:
            return
        self._settle()
        self._waiting.clear_lossy()
        self._waiting.add_control(frame)
        self.finished = True
        was_behind = self.behind
        self._set_behind(True)
        if not was_behind:
            self._write_waiting()
            if self.is_waiting:
                self.on_behind()

    def drain(self) -> None:
        """Write what waits, as far as the kernel has room."""
        if self.behind and not self.broken:
            self._write_waiting()

    def _write_waiting(self) -> None:
        try:
            if self._rest:
                self._keep_rest(self._rest[self._send(self._rest) :])
            while not self._rest and (frame := self._next()) is not None:
                sent = self._send(frame)
                self._waiting.remove_first()
                if sent != len(frame):
                    self._keep_rest(frame[sent:])
        except BlockingIOError:
            self._set_behind(True)
        except OSError:
            self.break_off()
        else:
            self._set_behind(bool(self._rest))

    def unsent(self) -> bytes | None:
        """Return what a successor must write first: the rest of a frame, then whole frames.

        None: it is too much to move, or nothing may follow a close frame.
        """
        if self.finished:
            return None
        self._settle()
        waiting = self._rest + self._waiting.joined()
        return waiting if len(waiting) <= MAX_UNSENT_BYTES and not self.broken else None

    def rest(self) -> bytes:
        """Return what is left of a frame that was written in part."""
        return self._rest

    def restore(self, unsent: bytes) -> None:
        """Begin with what a predecessor has left unsent. To be called before anything is written."""
        self._keep_rest(unsent)
        self.drain()

    def detach(self) -> None:
        """Write nothing more: the connection, and what was `unsent`, are a successor's."""
        self._settle()
        self.broken = True
        self._set_behind(True)
        self.put = len  # takes every frame, and writes none
        self._waiting.clear()
        self._rest = b""

    def overflow(self) -> None:
        """Break the connection off since the peer does not read what is sent."""
        self.overflowed = True
        self.break_off()

    def break_off(self) -> None:
        """Write nothing more, since half a frame may have been written, and call `on_broken`."""
        if not self.broken:
            self.detach()
            self.on_broken()

    def _fall_behind(self) -> None:
        self._set_behind(True)
        self.on_behind()

    def _set_behind(self, behind: bool) -> None:
        behind = behind or self.finished  # for good: nobody writes past the last frame
        if behind != self.behind:
            for follower in self._followers:
                follower.refresh()
        self.behind = behind
        self.put = len if self.finished else self._queue_lossy if behind else self._send

    def _change_followers(self, followers: tuple[Follower, ...]) -> None:
        self._settle()
        for follower in {*self._followers, *followers}:
            follower.refresh()
        self._followers = followers

    def _settle(self) -> None:
        for follower in self._followers:
            follower.settle()

    def _keep_rest(self, rest: bytes) -> None:
        self._rest = rest
        if rest:
            self._set_behind(True)
        self.on_rest(rest)

    def _next(self) -> bytes | None:
        return self._waiting.first_control() or self._waiting.first_lossy(trio.current_time())

    def _queue_lossy(self, frame: bytes) -> int:
        self._waiting.add_lossy(frame, trio.current_time())
        return len(frame)


def write_to_all(send_queues: tuple[SendQueue, ...], frame: bytes) -> int:
    """Write a lossy frame to each of many send queues, and return how many there are.

    The hot path: one system call for each peer that keeps up, and nothing else.
    """
    size = len(frame)
    for send_queue in send_queues:
        put = send_queue.put  # by itself: CPython has a fast way to read a slot, but none to call what is in one
        try:
            taken = put(frame)
        except OSError as error:
            send_queue.refused(frame, error)
            continue
        if taken != size:
            send_queue.cut_short(frame, taken)
    return len(send_queues)
