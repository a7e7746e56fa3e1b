"""What Linux lets one do with what a socket holds, beyond reading it: look, look further, and let go of it unseen."""

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


def remember_looks(sock: socket.socket, seen: int) -> bool:
    """Have the next look begin behind so many bytes; -1: every look at the front. Whether this kernel can."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, seen)
    except OSError:
        return False
    return True


def looked_at(sock: socket.socket) -> int:
    """How far whoever had this socket before may have looked, beyond what it took: so far as the kernel remembers, or all
    that is there, where this kernel does not."""
    try:
        return max(sock.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF), 0)
    except OSError:
        return bytes_waiting(sock)


def bytes_waiting(sock: socket.socket) -> int:
    """How much there is that was not taken, whoever has looked at it."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0])
    except OSError:
        return 0


def discard(sock: socket.socket) -> bool:
    """Take what is there, and what comes in the meantime within reason, unseen. False: nothing more will come."""
    try:
        for _ in range(DISCARDED_MAX_BYTES // DISCARDED_AT_ONCE_BYTES):
            if not sock.recv(DISCARDED_AT_ONCE_BYTES, DISCARD):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True
