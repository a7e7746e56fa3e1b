"""The kernel's count of what a connection has carried."""

from __future__ import annotations

import socket

from patchbay.net.tcp_info import NO_COUNT, bytes_written
from tests.fakes.connections import tcp_pair


def test_the_kernel_counts() -> None:
    client, server = tcp_pair()
    with client, server:
        assert bytes_written(server) == 0
        total = 0
        while True:
            try:
                total += server.send(b"x" * 70_000)
            except BlockingIOError:
                break
            assert bytes_written(server) == total
        client.recv(1_000_000)
        with server.dup() as other:
            assert bytes_written(other) == total
    one, two = socket.socketpair()
    with one, two:
        assert bytes_written(one) == NO_COUNT
