"""How many bytes a connection has carried. The kernel counts them, and what it has counted outlives a process: so what is
told *before* something is written, with the count at that moment, can be judged afterwards, whatever has died between.
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


def bytes_carried(sock: socket.socket) -> int:
    """How many bytes a TCP connection has been given to carry, ever; NO_COUNT for a socket that is none.

    What was acknowledged and what was not, which are asked for one after the other: until nothing was acknowledged
    between two looks.
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
