"""TCP ports for servers that are started by the port's number."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a TCP port of 127.0.0.1: the kernel gives it to nobody else, and connects to it are refused.

    A server that sets SO_REUSEADDR may listen on it meanwhile, as often as it likes.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
