"""Frames that many connections get: written to all that keep up with one system call (`patchbay.net.io_uring`).

Of what a send costs, the kernel's part is not to be had for less; but to get there from Python for each connection costs a
third as much again. Connections that are behind, or get frames from several places, which must stay in order, are written
to one by one, as are all of them where they are few, or where the kernel has no ring.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Final

from patchbay.net.io_uring import Arena, IoUring, sends, where
from patchbay.websocket.send_queue import write_to_all

if TYPE_CHECKING:
    from config import Settings
    from patchbay.websocket.send_queue import SendQueue

log = logging.getLogger(__name__)

ARENA_BYTES: Final = 256 * 1024  # of frames in one batched send
FEW: Final = 4  # connections; for fewer, preparing a batched send costs more than it saves


class BatchedSend:
    """Of one process. Nothing may stay in it beyond the moment: whoever has had something put in calls `flush` before it
    waits for anything. An send queue flushes it before it writes anything else itself, so that the order is kept.

    Args:
        ring: None where there is none; then nothing is ever put in.
    """

    def __init__(self, ring: IoUring | None) -> None:
        self.ring = ring
        self._arena = Arena(ARENA_BYTES)
        self._at = 0
        self._entries: list[bytes] = []
        self._frames: list[tuple[Targets, bytes]] = []
        self.number = 0

    def make_room(self, targets: Targets, size: int) -> None:
        """To be called before `put`; after it, some of the targets may be behind.

        A batched send has one frame for each connection: what follows one that was cut short must not be written.
        """
        if targets.volley_number == self.number or self._at + size > ARENA_BYTES:
            self.flush()

    def put(self, targets: Targets, frame: bytes) -> None:
        """Have a frame, of no more than `ARENA_BYTES`, written to those of the targets that keep up."""
        targets.volley_number = self.number
        size, at = len(frame), self._at
        self._arena.put(at, frame)
        self._entries.append(where(self._arena.address + at, size).join(targets.entries))
        self._frames.append((targets, frame))
        self._at = at + size

    def flush(self) -> None:
        """Write what has been put in."""
        if self._entries and self.ring is not None:
            entries, frames = b"".join(self._entries), self._frames
            self._entries, self._frames, self._at = [], [], 0
            self.number += 1
            whose: dict[int, tuple[SendQueue, bytes]] = {}  # by descriptor; made when the first one is asked for
            for fd, result in self.ring.send(entries):
                whose = whose or {
                    send_queue.fd: (send_queue, frame)
                    for targets, frame in frames
                    for send_queue in targets.send_queues
                }
                send_queue, frame = whose[fd]
                send_queue.not_taken(frame, result)


def batched_send_of(settings: Settings) -> BatchedSend:
    """With a ring, where the settings and the kernel allow it."""
    ring = IoUring.open() if settings.io_uring else None
    log.info("frames are sent %s", "one by one" if ring is None else "many at once (io_uring)")
    return BatchedSend(ring)


class Targets:
    """Connections that get the same frames.

    Attributes:
        entries: prepared sends to those that keep up, and get such frames from here only.
        others: those that are written to one by one.
        fds: their descriptors (C ints, one after the other), when they are all, and all keep up and get such frames from
            here only: then to write to them is to send, and no more. Else empty, as it is at once when that changes.
        volley_number: the last batched send that has something for them.
    """

    __slots__ = ("_batched_send", "_count", "_members", "_stale", "entries", "fds", "others", "volley_number")

    def __init__(self, batched_send: BatchedSend | None) -> None:
        self._batched_send = None if batched_send is None or batched_send.ring is None else batched_send
        self._members: dict[SendQueue, None] = {}
        self.others: tuple[SendQueue, ...] = ()
        self.fds = b""
        self._stale, self._count = False, 0
        self.entries: tuple[bytes, ...] = ()
        self.volley_number = -1

    @property
    def send_queues(self) -> tuple[SendQueue, ...]:
        """All of them."""
        return tuple(self._members)

    def add(self, send_queue: SendQueue) -> None:
        """Let one more get what is written. Harmless when it does already."""
        if send_queue not in self._members:
            self._members[send_queue] = None
            send_queue.follow(self)
            self.refresh()

    def discard(self, send_queue: SendQueue) -> None:
        """Let it get nothing more."""
        if send_queue in self._members:
            send_queue.unfollow(self)  # what is on its way to it leaves, while we still know it
            del self._members[send_queue]
            self.refresh()

    def refresh(self) -> None:
        """One has fallen behind or caught up, or gets frames from elsewhere, too, or no more."""
        self._stale, self.fds = True, b""

    def write(self, frame: bytes) -> int:
        """Write a lossy frame to each. Returns how many they are."""
        if self.entries and self._batched_send is not None:
            self._batched_send.make_room(self, len(frame))
        if self._stale:
            self._sort()
        if self.entries and self._batched_send is not None:
            self._put(self._batched_send, frame)
        write_to_all(self.others, frame)
        return self._count

    def _put(self, batched_send: BatchedSend, frame: bytes) -> None:
        if len(frame) <= ARENA_BYTES:
            batched_send.put(self, frame)
        else:
            write_to_all(tuple(send_queue for send_queue in self._members if send_queue.is_quick), frame)

    def _sort(self) -> None:
        self._stale, self._count = False, len(self._members)
        quick = [send_queue for send_queue in self._members if send_queue.is_quick]
        at_once = [] if self._batched_send is None or len(quick) < FEW else quick
        self.entries = sends([send_queue.fd for send_queue in at_once])
        self.others = tuple(self._members.keys() - at_once) if at_once else tuple(self._members)
        if not at_once and len(quick) == self._count:
            self.fds = struct.pack(f"{len(quick)}i", *[send_queue.fd for send_queue in self.others])
