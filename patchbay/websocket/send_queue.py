"""The output of one connection: written at once while the peer keeps up, queued in bounds while it does not.

Two kinds of frames. *Lossy* ones (audio) grow old: what waited longer than allowed is dropped, oldest first, and
counted, so that a listener that reads again is live. *Control* frames (start, stop, errors, answers) are never dropped;
a peer that lets too many pile up, or too much, is disconnected. A frame that was written in part is always finished first. Nothing
follows a close frame.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

import trio

from patchbay.protocol.handover import MAX_UNSENT_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from patchbay.net.batched_send import BatchedSend, Targets

CONTROL_MAX = 1000  # frames
CONTROL_MAX_BYTES = 256 * 1024  # that wait; a frame that is longer may wait alone
LOSSY_MAX_BYTES = 1024 * 1024  # whatever their age


class _Often:
    """What every frame needs, in front."""

    __slots__ = ("put",)

    put: Callable[[bytes], int]


class SendQueue(_Often):
    """Writes whole frames to a non-blocking socket. Never waits; `drain` is called when there is room again.

    Args:
        lossy_s: how long a lossy frame may wait.
        control_max: how many control frames may wait before the connection is broken off.
        batched_send: what may carry frames of this connection on their way, too.

    Attributes:
        fd: the socket's descriptor.
        behind: something waits to be written; nothing is written past it.
        put: takes a lossy frame, and returns how much of it needs no more care: what `write` does while all is well.
        dropped: lossy frames that grew too old.
        overflowed: it was broken off since the peer has not read what it was sent.
        finished: the last frame, a close frame, has been written, or waits to be.
        on_behind: called when output begins to wait: `drain` must be called once there is room.
        on_broken: called once when the connection can't be written to any more, or fell too far behind.
        on_rest: called with what is left of a frame that was written in part, and with b"" when it is whole. Whoever
            comes after us must write that first, or the peer would read rubbish.
    """

    __slots__ = ("_batched_send", "_control", "_control_bytes", "_control_max", "_followers", "_lossy", "_lossy_bytes", "_lossy_s", "_rest", "_send", "behind", "broken", "dropped", "fd", "finished", "on_behind", "on_broken", "on_rest", "overflowed")  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        *,
        lossy_s: float,
        control_max: int = CONTROL_MAX,
        batched_send: BatchedSend | None = None,
    ) -> None:
        self.fd = sock.fileno()
        self._batched_send = batched_send
        self._followers: tuple[Targets, ...] = ()
        self._send = sock.send
        self.put = sock.send
        self._lossy_s = lossy_s
        self._control_max = control_max
        self._rest = b""
        self._control: deque[bytes] = deque()
        self._control_bytes = 0
        self._lossy: deque[tuple[float, bytes]] = deque()
        self._lossy_bytes = 0
        self.behind = False
        self.broken = False
        self.overflowed = False
        self.finished = False
        self.dropped = 0
        self.on_behind: Callable[[], None] = lambda: None
        self.on_broken: Callable[[], None] = lambda: None
        self.on_rest: Callable[[bytes], None] = lambda rest: None

    @property
    def is_quick(self) -> bool:
        """Whether a batched send may carry its frames: it keeps up, and they come from one place."""
        return not self.behind and len(self._followers) == 1

    @property
    def is_waiting(self) -> bool:
        """Whether something waits to be written."""
        return not self.broken and bool(self._rest or self._control or self._lossy)

    def follow(self, targets: Targets) -> None:
        """Tell these from now on whether it keeps up."""
        self._change_followers((*self._followers, targets))

    def unfollow(self, targets: Targets) -> None:
        """Do so no more."""
        self._change_followers(tuple(other for other in self._followers if other is not targets))

    def write(self, frame: bytes) -> None:
        """Write a lossy frame."""
        if self._batched_send is not None:
            self._settle()
        try:
            taken = self.put(frame)
        except OSError as error:
            self.refused(frame, error)
            return
        if taken != len(frame):
            self.cut_short(frame, taken)

    def refused(self, frame: bytes, error: OSError) -> None:
        """The kernel has not taken a lossy frame."""
        if isinstance(error, BlockingIOError):
            self._queue_lossy(frame)
            self._fall_behind()
        else:
            self.break_off()

    def cut_short(self, frame: bytes, taken: int) -> None:
        """The kernel has taken the beginning of a frame."""
        self._keep_rest(frame[taken:])
        self._fall_behind()

    def not_taken(self, frame: bytes, result: int) -> None:
        """Of a lossy frame that somebody has sent for us, only so many bytes were taken; or -errno."""
        if result < 0:
            self.refused(frame, OSError(-result, os.strerror(-result)))
        else:
            self.cut_short(frame, result)

    def write_control(self, frame: bytes) -> bool:
        """Write a frame that must not be lost; dropped after the last one. False when the connection is broken."""
        if self.broken or self.finished:
            return not self.broken
        self._settle()
        self._queue_control(frame)
        if not self.behind:
            self._write_waiting()
            if self.behind and not self.broken:
                self.on_behind()
        elif len(self._control) > self._control_max or self._control_bytes > max(CONTROL_MAX_BYTES, len(frame)):
            self.overflow()
        return not self.broken

    def finish(self, frame: bytes) -> None:
        """Write the last frame, a close frame: nothing may follow it (RFC 6455 §5.5.1). Audio that waits is dropped."""
        if self.broken or self.finished:
            return
        self._settle()
        self._drop_lossy()
        self._queue_control(frame)
        self.finished = True
        was_behind = self.behind
        self._set_behind(True)
        if not was_behind:
            self._write_waiting()
            if self.is_waiting:
                self.on_behind()

    def drain(self) -> None:
        """Write what waits, as far as there is room."""
        if self.behind and not self.broken:
            self._write_waiting()

    def _write_waiting(self) -> None:
        try:
            if self._rest:
                self._keep_rest(self._rest[self._send(self._rest) :])
            while not self._rest and (frame := self._next()) is not None:
                sent = self._send(frame)
                self._forget_first()
                if sent != len(frame):
                    self._keep_rest(frame[sent:])
        except BlockingIOError:
            self._set_behind(True)
        except OSError:
            self.break_off()
        else:
            self._set_behind(bool(self._rest))

    def unsent(self) -> bytes | None:
        """What a successor must write first, whole frames after the rest of one; None when it is too much to move, or when
        nothing may follow."""
        if self.finished:
            return None
        self._settle()
        waiting = b"".join((self._rest, *self._control, *(frame for _, frame in self._lossy)))
        return waiting if len(waiting) <= MAX_UNSENT_BYTES and not self.broken else None

    def rest(self) -> bytes:
        """What is left of a frame that was written in part."""
        return self._rest

    def restore(self, unsent: bytes) -> None:
        """Begin with what a predecessor left. Call before anything is written."""
        self._keep_rest(unsent)
        self.drain()

    def detach(self) -> None:
        """Write nothing more: the connection is a successor's, and so is what was `unsent`."""
        self._settle()
        self.broken = True
        self._set_behind(True)
        self.put = len  # nothing is written, and nothing is wrong with that
        self._control.clear()
        self._control_bytes = 0
        self._drop_lossy()
        self._rest = b""

    def overflow(self) -> None:
        """Give up since the peer does not read what it is sent."""
        self.overflowed = True
        self.break_off()

    def break_off(self) -> None:
        """Give up: nothing more is written, since half a frame may have been."""
        if not self.broken:
            self.detach()
            self.on_broken()

    def _fall_behind(self) -> None:
        self._set_behind(True)
        self.on_behind()

    def _set_behind(self, behind: bool) -> None:
        behind = behind or self.finished  # for good: nobody writes past the last frame
        if behind != self.behind:
            for targets in self._followers:
                targets.refresh()
        self.behind = behind
        self.put = len if self.finished else self._queue_lossy if behind else self._send

    def _change_followers(self, followers: tuple[Targets, ...]) -> None:
        self._settle()
        for targets in {*self._followers, *followers}:
            targets.refresh()
        self._followers = followers

    def _settle(self) -> None:
        """What a batched send has for us leaves before anything else."""
        batched_send = self._batched_send
        if batched_send is not None and any(
            targets.volley_number == batched_send.number for targets in self._followers
        ):
            batched_send.flush()

    def _keep_rest(self, rest: bytes) -> None:
        self._rest = rest
        if rest:
            self._set_behind(True)
        self.on_rest(rest)

    def _queue_control(self, frame: bytes) -> None:
        self._control.append(frame)
        self._control_bytes += len(frame)

    def _queue_lossy(self, frame: bytes) -> int:
        now = trio.current_time()
        self._lossy.append((now, frame))
        self._lossy_bytes += len(frame)
        self._drop_old(now)
        return len(frame)

    def _drop_lossy(self) -> None:
        self._lossy.clear()
        self._lossy_bytes = 0

    def _drop_old(self, now: float) -> None:
        lossy, oldest = self._lossy, now - self._lossy_s
        while lossy and (lossy[0][0] < oldest or self._lossy_bytes > LOSSY_MAX_BYTES):
            self._lossy_bytes -= len(lossy.popleft()[1])
            self.dropped += 1

    def _next(self) -> bytes | None:
        """The frame whose turn it is; it stays where it is until it has been written, at least in part."""
        if self._control:
            return self._control[0]
        self._drop_old(trio.current_time())
        return self._lossy[0][1] if self._lossy else None

    def _forget_first(self) -> None:
        if self._control:
            self._control_bytes -= len(self._control.popleft())
        else:
            self._lossy_bytes -= len(self._lossy.popleft()[1])


def write_to_all(send_queues: tuple[SendQueue, ...], frame: bytes) -> int:
    """Write a lossy frame to each. The hot path: one system call for each that keeps up, and nothing else. Returns how
    many there are."""
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
