"""Writes one frame to many connections with one system call (`patchbay.net.io_uring`).

The kernel's part of a send has its price in any case; the way there from Python, for each connection, costs a third of
that again. Connections that are behind, or get frames from several places (which must stay in order), are written to one
by one. So are all connections where they are few, or where the kernel has no io_uring.
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
    """Collects the frames that one process writes in one system call.

    `flush` must be called after `put`, before the caller waits for anything. A send queue flushes before it writes a frame
    itself (`Targets.settle`), so the order is kept.

    Args:
        ring: None where the kernel has no io_uring; then `put` is never called.
    Attributes:
        number: how many batches were flushed.
    """

    def __init__(self, ring: IoUring | None) -> None:
        self.ring = ring
        self._arena = Arena(ARENA_BYTES)
        self._at = 0
        self._entries: list[bytes] = []
        self._frames: list[tuple[Targets, bytes]] = []
        self.number = 0

    def make_room(self, targets: Targets, size: int) -> None:
        """Flush where the next frame does not fit in. To be called before `put`; some targets may be behind afterwards.

        A batch has one frame for each connection: what follows a frame that was cut short must not be written.
        """
        if targets.batch_number == self.number or self._at + size > ARENA_BYTES:
            self.flush()

    def put(self, targets: Targets, frame: bytes) -> None:
        """Add a frame of at most `ARENA_BYTES` for those targets that keep up."""
        targets.batch_number = self.number
        size, at = len(frame), self._at
        self._arena.put(at, frame)
        self._entries.append(where(self._arena.address + at, size).join(targets.entries))
        self._frames.append((targets, frame))
        self._at = at + size

    def flush(self) -> None:
        """Write all frames of the batch."""
        if self._entries and self.ring is not None:
            entries, frames = b"".join(self._entries), self._frames
            self._entries, self._frames, self._at = [], [], 0
            self.number += 1
            whose: dict[int, tuple[SendQueue, bytes]] = {}  # by descriptor; made when the first result is bad
            for fd, result in self.ring.send(entries):
                whose = whose or {
                    send_queue.fd: (send_queue, frame)
                    for targets, frame in frames
                    for send_queue in targets.send_queues
                }
                send_queue, frame = whose[fd]
                send_queue.not_taken(frame, result)


def batched_send_of(settings: Settings) -> BatchedSend:
    """Make the batched send of this process, with io_uring where the settings and the kernel allow it."""
    ring = IoUring.open() if settings.io_uring else None
    log.info("frames are sent %s", "one by one" if ring is None else "many at once (io_uring)")
    return BatchedSend(ring)


class Targets:
    """Holds the connections that get the same frames.

    Attributes:
        entries: prepared sends to the connections that keep up and follow these targets alone.
        others: the connections that are written to one by one.
        fds: the descriptors of `others` (C ints, one after the other) while there are no `entries`, and all connections
            keep up and follow these targets alone: then a plain send to each is enough. Else empty.
        batch_number: the last batch with a frame for these targets.
    """

    __slots__ = ("_batched_send", "_count", "_members", "_stale", "batch_number", "entries", "fds", "others")

    def __init__(self, batched_send: BatchedSend | None) -> None:
        self._batched_send = None if batched_send is None or batched_send.ring is None else batched_send
        self._members: dict[SendQueue, None] = {}
        self.others: tuple[SendQueue, ...] = ()
        self.fds = b""
        self._stale, self._count = False, 0
        self.entries: tuple[bytes, ...] = ()
        self.batch_number = -1

    @property
    def send_queues(self) -> tuple[SendQueue, ...]:
        """Return all connections."""
        return tuple(self._members)

    def add(self, send_queue: SendQueue) -> None:
        """Add a connection; harmless when it is there."""
        if send_queue not in self._members:
            self._members[send_queue] = None
            send_queue.follow(self)
            self.refresh()

    def discard(self, send_queue: SendQueue) -> None:
        """Remove a connection, after what is on its way to it was written."""
        if send_queue in self._members:
            send_queue.unfollow(self)  # first: it flushes, and a bad result must still find the connection
            del self._members[send_queue]
            self.refresh()

    def refresh(self) -> None:
        """Sort the connections anew before the next frame: one has fallen behind or caught up, or its followers changed."""
        self._stale, self.fds = True, b""

    def settle(self) -> None:
        """Write the batch that has a frame for these targets, if it was not written yet."""
        if self._batched_send is not None and self.batch_number == self._batched_send.number:
            self._batched_send.flush()

    def write(self, frame: bytes) -> int:
        """Write a lossy frame to each connection, and return how many there are."""
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
