"""Peeks at what a socket has received, and discards bytes without reading them, with Linux's socket options."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Final

PEEK, DISCARD = socket.MSG_PEEK, socket.MSG_TRUNC
SO_PEEK_OFF: Final = 42  # <asm-generic/socket.h>; the socket module does not name it
DISCARDED_MAX_BYTES: Final = 1024 * 1024
DISCARDED_AT_ONCE_BYTES: Final = 64 * 1024


def set_peek_offset(sock: socket.socket, offset: int) -> bool:
    """Make the next peek begin at an offset, and continue from there (SO_PEEK_OFF); -1: every peek begins at the front.

    Returns:
        False: this kernel has no peek offset for this socket (for TCP there is one since Linux 6.9).
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, offset)
    except OSError:
        return False
    return True


def peek_offset(sock: socket.socket) -> int:
    """Return how many received bytes a predecessor may have peeked at: all, where the kernel has no offset."""
    try:
        return max(sock.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF), 0)
    except OSError:
        return bytes_waiting(sock)


def bytes_waiting(sock: socket.socket) -> int:
    """Return how many received bytes were not read yet, whether they were peeked at or not."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0])
    except OSError:
        return 0


def discard(sock: socket.socket) -> bool:
    """Discard all received bytes, at most DISCARDED_MAX_BYTES. Return False when no more bytes will arrive."""
    try:
        for _ in range(DISCARDED_MAX_BYTES // DISCARDED_AT_ONCE_BYTES):
            if not sock.recv(DISCARDED_AT_ONCE_BYTES, DISCARD):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True
