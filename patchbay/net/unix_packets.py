"""Sends and receives packets, each with at most one descriptor, over a Unix socket between two processes.

A send never waits: a packet that the kernel does not take is queued, in order and up to a limit, and a writer task
sends it.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

RETRY_INTERVAL_S = 0.002  # with too many descriptors in flight, the kernel refuses more though the socket is writable
# Too many descriptors in flight (until the peer reads), or no memory for the moment.
TRANSIENT_ERRORS = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
QUEUE_MAX = 100_000  # packets of a few KiB at most; rarely more than one for each connection


class PacketSocketClosed(Exception):
    """Reports that the other process has gone, or has fallen too far behind."""


class PacketSocket:
    """Holds one end of a SOCK_SEQPACKET connection, non-blocking. The maker closes it.

    One task iterates over `packets()`, another runs `write_queued()`, and any task may call `send_nowait`. Cancelling
    loses no packet that the kernel or the queue has.
    """

    def __init__(self, sock: socket.socket, *, max_packet_bytes: int) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._max_packet_bytes = max_packet_bytes
        self._queue: deque[tuple[bytes, int | None]] = deque()
        self._more = trio.Event()
        self._emptied = trio.Event()

    def send_nowait(self, packet: bytes, fd: int | None = None) -> None:
        """Send or queue a packet. A descriptor that is queued is duplicated, so the caller may close its own at once.

        Raises:
            PacketSocketClosed: the other end has gone, its queue is full, or there is no descriptor left to queue with.
            ValueError: the packet is longer than the other end takes.
        """
        if len(packet) > self._max_packet_bytes:
            raise ValueError(f"a packet of {len(packet)} bytes")
        if not self._queue and self._try_send(packet, fd):
            return
        if len(self._queue) >= QUEUE_MAX:
            raise PacketSocketClosed("queue full")
        try:
            self._queue.append((packet, None if fd is None else os.dup(fd)))
        except OSError as error:
            raise PacketSocketClosed(str(error)) from error
        self._more.set()
        if self._emptied.is_set():
            self._emptied = trio.Event()

    async def write_queued(self) -> None:
        """Send queued packets until the other end has gone; then `packets` ends, too."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            try:
                await self._write_all()
            except PacketSocketClosed:
                return

    async def flush(self) -> None:
        """Wait until the kernel has taken all packets. `write_queued` must be running."""
        while self._queue:
            await self._emptied.wait()

    async def packets(self) -> AsyncGenerator[tuple[bytes, int | None], None]:
        """Yield (packet, descriptor or None) until the other end has gone. The receiver owns the descriptor."""
        while True:
            await trio.lowlevel.wait_readable(self.sock)
            while (received := self._receive()) is not None:
                if not received[0]:
                    return
                yield received
            await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close this end; queued packets are lost, queued descriptors closed."""
        for _, fd in self._queue:
            if fd is not None:
                os.close(fd)
        self._queue.clear()
        if self.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()

    async def _write_all(self) -> None:
        while self._queue:
            packet, fd = self._queue[0]
            if not self._try_send(packet, fd):
                await trio.lowlevel.wait_writable(self.sock)
                await trio.sleep(RETRY_INTERVAL_S)
                continue
            self._queue.popleft()
            if fd is not None:
                os.close(fd)
        self._emptied.set()

    def _try_send(self, packet: bytes, fd: int | None) -> bool:
        try:
            if fd is None:
                self.sock.send(packet)
            else:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
                self.sock.sendmsg([packet], rights)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in TRANSIENT_ERRORS:
                return False
            raise PacketSocketClosed(str(error)) from error
        return True

    def _receive(self) -> tuple[bytes, int | None] | None:
        try:
            packet, fds, _, _ = socket.recv_fds(self.sock, self._max_packet_bytes, 4)
        except BlockingIOError:
            return None
        except OSError:
            return b"", None
        for extra in fds[1:]:
            with contextlib.suppress(OSError):
                os.close(extra)
        return packet, fds[0] if fds else None
