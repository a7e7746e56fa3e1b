"""Writes one frame to many connections with one system call (`patchbay.net.io_uring`).

This saves the way from Python into the kernel for each connection. A connection that is behind, or whose frames come
from several batch writers and must stay in order, is written to by itself. So are all connections where they are few,
or where the kernel has no io_uring.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Final

from patchbay.net.io_uring import Arena, IoUring, pack_buffer, prepare_sends
from patchbay.websocket.send_queue import write_to_all

if TYPE_CHECKING:
    from config import Settings
    from patchbay.websocket.send_queue import SendQueue

log = logging.getLogger(__name__)

ARENA_BYTES: Final = 256 * 1024  # of frames in one batch
BATCH_MIN: Final = 4  # connections; a smaller batch costs more than it saves


class BatchedSend:
    """Collects the frames that one process writes with one system call.

    `flush` must be called after `put`, before the caller awaits anything. A send queue flushes the batch before it
    writes a frame by itself (`Targets.flush_batch`), so frames stay in order.

    Args:
        ring: None where the kernel has no io_uring; then `put` is never called.

    Attributes:
        batch_number: the number of the batch that is being collected.
    """

    def __init__(self, ring: IoUring | None) -> None:
        self.ring = ring
        self._arena = Arena(ARENA_BYTES)
        self._at = 0
        self._entries: list[bytes] = []
        self._frames: list[tuple[Targets, bytes]] = []
        self.batch_number = 0

    def make_room(self, targets: Targets, size: int) -> None:
        """Flush the batch if it has no room for a frame, or has one for these targets already. Call it before `put`.

        A batch has one frame for each connection, since nothing may follow a frame that is written in part. Afterwards
        some targets may be behind.
        """
        if targets.batch_number == self.batch_number or self._at + size > ARENA_BYTES:
            self.flush()

    def put(self, targets: Targets, frame: bytes) -> None:
        """Add a frame of at most `ARENA_BYTES` for the targets that keep up."""
        targets.batch_number = self.batch_number
        size, at = len(frame), self._at
        self._arena.write(at, frame)
        self._entries.append(pack_buffer(self._arena.address + at, size).join(targets.entries))
        self._frames.append((targets, frame))
        self._at = at + size

    def flush(self) -> None:
        """Write all frames of the batch."""
        if self._entries and self.ring is not None:
            entries, frames = b"".join(self._entries), self._frames
            self._entries, self._frames, self._at = [], [], 0
            self.batch_number += 1
            by_fd: dict[int, tuple[SendQueue, bytes]] = {}  # made for the first send that has failed
            for fd, result in self.ring.send(entries):
                by_fd = by_fd or {
                    send_queue.fd: (send_queue, frame)
                    for targets, frame in frames
                    for send_queue in targets.send_queues
                }
                send_queue, frame = by_fd[fd]
                send_queue.on_send_result(frame, result)


def make_batched_send(settings: Settings) -> BatchedSend:
    """Make the batched send of a process, with io_uring where the settings and the kernel allow it."""
    ring = IoUring.open() if settings.io_uring else None
    log.info("frames are sent %s", "one by one" if ring is None else "many at once (io_uring)")
    return BatchedSend(ring)


class Targets:
    """Holds the connections that get the same frames.

    Attributes:
        entries: prepared sends to the connections that are written to in a batch.
        others: the connections that are written to one by one.
        fds: the descriptors of `others` as an array of C ints, if a plain send to each is enough: there are no
            `entries`, and all connections accept batches. Else empty.
        batch_number: the number of the last batch with a frame for these targets.
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
        """Add a connection, if it is not there yet."""
        if send_queue not in self._members:
            self._members[send_queue] = None
            send_queue.add_batch_writer(self)
            self.invalidate()

    def discard(self, send_queue: SendQueue) -> None:
        """Remove a connection, after its frame of the current batch was written."""
        if send_queue in self._members:
            send_queue.remove_batch_writer(self)  # first, since it flushes, which may call the connection back
            del self._members[send_queue]
            self.invalidate()

    def invalidate(self) -> None:
        """Classify the connections again before the next frame."""
        self._stale, self.fds = True, b""

    def flush_batch(self) -> None:
        """Write the current batch, if it has a frame for these targets."""
        if self._batched_send is not None and self.batch_number == self._batched_send.batch_number:
            self._batched_send.flush()

    def write(self, frame: bytes) -> int:
        """Write a lossy frame to each connection, and return how many there are."""
        if self.entries and self._batched_send is not None:
            self._batched_send.make_room(self, len(frame))
        if self._stale:
            self._classify()
        if self.entries and self._batched_send is not None:
            self._put(self._batched_send, frame)
        write_to_all(self.others, frame)
        return self._count

    def _put(self, batched_send: BatchedSend, frame: bytes) -> None:
        if len(frame) <= ARENA_BYTES:
            batched_send.put(self, frame)
        else:
            write_to_all(tuple(send_queue for send_queue in self._members if send_queue.accepts_batches), frame)

    def _classify(self) -> None:
        self._stale, self._count = False, len(self._members)
        ready = [send_queue for send_queue in self._members if send_queue.accepts_batches]
        batched = [] if self._batched_send is None or len(ready) < BATCH_MIN else ready
        self.entries = prepare_sends([send_queue.fd for send_queue in batched])
        self.others = tuple(self._members.keys() - batched) if batched else tuple(self._members)
        if not batched and len(ready) == self._count:
            self.fds = struct.pack(f"{len(ready)}i", *[send_queue.fd for send_queue in self.others])
