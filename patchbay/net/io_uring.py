"""Sends to many sockets with one system call: the part of Linux's io_uring that this takes.

A prepared send is a *submission queue entry* of 64 bytes in memory that is shared with the kernel. One
io_uring_enter(2) carries out all entries, in order, before it returns. Only a send that was not complete leaves a
*completion*. There is no thread and no polling, and no send is pending when `send` returns.

io_uring_setup(2), io_uring_enter(2), <linux/io_uring.h>; since Linux 5.19. Containers often forbid io_uring: see
`IoUring.open`.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# In the queue. More sends are submitted in several steps, and results are returned after each, so the caller soon
# learns of an incomplete send.
ENTRIES: Final = 64
ENTRY_BYTES: Final = 64

_SETUP, _ENTER = 425, 426  # the same on every architecture but alpha
_OFF_SQ_RING, _OFF_SQES = 0, 0x10000000
_SINGLE_MMAP, _CQE_SKIP = 1 << 0, 1 << 11  # features
_OP_SEND, _SKIP_SUCCESS = 26, 1 << 6
# With MSG_WAITALL an incomplete send counts as failed, so it leaves a completion.
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL | socket.MSG_WAITALL

# struct io_uring_params: entries, flags and features, then the offsets in the two rings.
_PARAMS: Final = struct.Struct("=7I12x10I10I")
_BEFORE = struct.Struct("=BBHiQ")  # opcode, flags, priority, descriptor, offset; then come address and length
_BUFFER = struct.Struct("=QI")
_AFTER = struct.Struct("=IQ24x")  # flags of the call, user data
_COMPLETION = struct.Struct("=QiI")  # user data, result, flags
_WORD = struct.Struct("=I")

pack_buffer = _BUFFER.pack  # address and length of the bytes to be sent


def prepare_sends(fds: Sequence[int]) -> tuple[bytes, ...]:
    """Prepare sends of the same bytes to several sockets: `pack_buffer(…).join` of the result makes the entries.

    The user data of each entry is its descriptor, by which `IoUring.send` reports an incomplete send.
    """
    before = [_BEFORE.pack(_OP_SEND, _SKIP_SUCCESS, 0, fd, 0) for fd in fds]
    after = [_AFTER.pack(_FLAGS, fd) for fd in fds]
    between = [end + begin for end, begin in zip(after, before[1:], strict=False)]
    return (before[0], *between, after[-1]) if fds else ()


class IoUring:
    """Holds one io_uring, for the thread that has made it. The maker closes it.

    Raises:
        OSError: the kernel has no io_uring, or does not allow it.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        params = ctypes.create_string_buffer(_PARAMS.size)
        self._fd = self._syscall(_SETUP, ENTRIES, params)
        try:
            self._map(_PARAMS.unpack(params.raw))
        except OSError:
            os.close(self._fd)
            raise

    @classmethod
    def open(cls) -> IoUring | None:
        """Make an io_uring and try it out; None: the kernel has none, forbids it, or behaves unexpectedly."""
        try:
            ring = cls()
        except OSError:
            return None
        with suppress(OSError):  # a container may allow io_uring_setup, but not io_uring_enter
            if _works(ring):
                return ring
        ring.close()
        return None

    def send(self, entries: bytes) -> Iterator[tuple[int, int]]:
        """Carry out prepared sends, while the caller iterates.

        Yields:
            For each send that was not complete: its descriptor, and the number of bytes sent or -errno.
        """
        for at in range(0, len(entries), ENTRIES * ENTRY_BYTES):
            self._enter(entries[at : at + ENTRIES * ENTRY_BYTES])
            if self._completions != _WORD.unpack_from(self._ring, self._cq_tail)[0]:
                yield from self._take_completions()

    def close(self) -> None:
        """Release the rings and their descriptor."""
        self._entries.close()
        self._ring.close()
        os.close(self._fd)

    def _map(self, params: tuple[int, ...]) -> None:
        features, sq, cq = params[5], params[7:17], params[17:27]
        if not features & _SINGLE_MMAP or not features & _CQE_SKIP:
            raise OSError(errno.ENOSYS, "io_uring is too old")
        size = max(sq[6] + 4 * params[0], cq[5] + _COMPLETION.size * params[1])
        self._ring = mmap.mmap(self._fd, size, offset=_OFF_SQ_RING)
        self._entries = mmap.mmap(self._fd, ENTRIES * ENTRY_BYTES, offset=_OFF_SQES)
        self._sq_tail, self._cq_head, self._cq_tail, self._cqes = sq[1], cq[0], cq[1], cq[5]
        self._cq_mask = params[1] - 1
        self._submitted = self._completions = 0
        for number in range(ENTRIES):  # the queue refers to entries by their indexes, which never change
            _WORD.pack_into(self._ring, sq[6] + 4 * number, number)

    def _enter(self, entries: bytes) -> None:
        count = len(entries) // ENTRY_BYTES
        at = self._submitted % ENTRIES * ENTRY_BYTES
        room = len(self._entries) - at
        self._entries[at : at + min(room, len(entries))] = entries[:room]
        if room < len(entries):
            self._entries[: len(entries) - room] = entries[room:]
        self._submitted = (self._submitted + count) & 0xFFFFFFFF
        _WORD.pack_into(self._ring, self._sq_tail, self._submitted)
        while count > 0:
            try:
                count -= self._syscall(_ENTER, self._fd, count, 0, 0, None, 0)
            except InterruptedError:
                continue

    def _take_completions(self) -> list[tuple[int, int]]:
        results = []
        tail = _WORD.unpack_from(self._ring, self._cq_tail)[0]
        while self._completions != tail:
            at = self._cqes + _COMPLETION.size * (self._completions & self._cq_mask)
            fd, result, _ = _COMPLETION.unpack_from(self._ring, at)
            results.append((fd, result))
            self._completions = (self._completions + 1) & 0xFFFFFFFF
        _WORD.pack_into(self._ring, self._cq_head, tail)
        return results

    def _syscall(self, number: int, *arguments: object) -> int:
        result = int(self._libc.syscall(number, *arguments))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result


class Arena:
    """Holds memory with a fixed address, which a prepared send can refer to."""

    def __init__(self, size: int) -> None:
        self._memory = mmap.mmap(-1, size)
        self.size = size
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def write(self, at: int, data: bytes) -> None:
        """Copy bytes into the memory, at an offset."""
        self._memory[at : at + len(data)] = data


def _works(ring: IoUring) -> bool:
    """Tell whether complete sends leave no completion, and incomplete and refused ones the expected result."""
    arena = Arena(1 << 20)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        to_ours = prepare_sends((ours.fileno(),))
        if list(ring.send(pack_buffer(arena.address, 100).join(to_ours))) or len(theirs.recv(200)) != 100:
            return False
        short = list(ring.send(pack_buffer(arena.address, arena.size).join(to_ours)))
        full = list(ring.send(pack_buffer(arena.address, 100).join(to_ours)))
        return (
            [fd for fd, _ in short + full] == [ours.fileno()] * 2
            and 0 < short[0][1] < arena.size
            and full[0][1] == -errno.EAGAIN
        )
