"""Defines what the poller needs of a connection, and of the routines in C that serve many connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import socket


class Polled(Protocol):
    """Handles the bytes of one socket for the poller, as `patchbay.websocket.connection.WebSocketConnection` does.

    Attributes:
        untaken: number of bytes at the front of the socket that have been handled.
        take_soon: a frame was handled that must not be handled twice.
        last_heard: when a complete frame arrived, by trio's clock.
    """

    sock: socket.socket
    untaken: int
    take_soon: bool
    last_heard: float

    def handle(self, data: memoryview, at: int, size: int) -> int:
        """Handle the complete frames in data[at:size]. Return the offset behind the last handled one."""

    def wait(self) -> None:
        """Leave the bytes that have not been handled until the connection's turn comes."""

    def end_of_input(self) -> None:
        """End the connection: the peer has closed it, or it broke."""

    def writable(self) -> bool:
        """Write queued output: the socket is writable. Return False when nothing waits to be written any more."""


Rest = Callable[[int, int, float, int, int], None]


class ReadingInC(NamedTuple):
    """Holds routines in C that do the work of `patchbay.net.poller.Poller` for plain connections (`reading.h`).

    Attributes:
        serve: serves the readable sockets, and returns their number. Arguments: the epoll's descriptor; connections by
            descriptor; buffer; now; `take_late`; the list that gets connections whose bytes must be taken, and from how
            many bytes on; seconds after which connections with many frames must wait; `Poller._serve`, which serves
            all other connections.
        take: takes the handled bytes of connections. Arguments: connections; buffer.
    """

    serve: Callable[[int, list[Polled | None], memoryview, float, bool, list[Polled], int, float, Rest], int]
    take: Callable[[list[Polled], memoryview], None]
