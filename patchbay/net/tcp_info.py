"""Reads how many bytes were written to a TCP connection, from the kernel's counters.

The counters outlive a process. So a process that announces a write together with the count before it can die at any
moment: the count tells afterwards whether the write was done.
"""

from __future__ import annotations

import fcntl
import socket
import struct

NO_COUNT = -1
SIOCOUTQ = 0x5411  # linux/sockios.h: bytes written and not acknowledged
TCP_INFO_BYTES = 128
BYTES_ACKED_AT = 120  # tcpi_bytes_acked of struct tcp_info, linux/tcp.h
READS_MAX = 100


def bytes_written(sock: socket.socket) -> int:
    """Return how many bytes were written to a TCP connection since it was opened; NO_COUNT for a socket that is not
    TCP.

    The sum of the acknowledged and the unacknowledged bytes, which take two system calls: repeated until no byte was
    acknowledged between the two.
    """
    try:
        acked = _acked(sock)
        for _ in range(READS_MAX):
            waiting = struct.unpack("i", fcntl.ioctl(sock, SIOCOUTQ, bytes(4)))[0]
            before, acked = acked, _acked(sock)
            if acked == before:
                return acked + int(waiting)
    except OSError:
        return NO_COUNT
    return NO_COUNT


def _acked(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    return int(struct.unpack_from("=Q", info, BYTES_ACKED_AT)[0])
