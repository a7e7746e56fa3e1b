"""A connection as the poller sees it, and nothing else of it; and what may serve many of them in C."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import socket


class Polled(Protocol):
    """What is served; `patchbay.websocket.connection.WebSocketConnection` is one."""

    sock: socket.socket
    untaken: int  # bytes at the front of the socket that have been handled
    take_soon: bool  # something was handled that must not be handled twice
    last_heard: float  # when something whole arrived, in trio's clock

    def handle(self, data: memoryview, at: int, size: int) -> int:
        """Handle the complete frames in data[at:size]; return how far that got."""

    def wait(self) -> None:
        """Leave what has not been handled until it is this peer's turn."""

    def end_of_input(self) -> None:
        """The peer has closed, or the connection broke."""

    def writable(self) -> bool:
        """There is room for output again. False when nothing waits for room any more."""


Rest = Callable[[int, int, float, int, int], None]


class ReadingInC(NamedTuple):
    """Routines that do what `patchbay.net.poller.Poller` does with each connection, for all that are plain at once
    (`reading.h`).

    Attributes:
        serve: (epoll, peers by descriptor, buffer, now, whether they are taken late, those to be taken, from how many
            bytes on, after how many seconds those with many frames have to wait, what serves those where something is
            left to do); returns how many connections there were.
        take: (peers, buffer): takes what they have handled.
    """

    serve: Callable[[int, list[Polled | None], memoryview, float, bool, list[Polled], int, float, Rest], int]
    take: Callable[[list[Polled], memoryview], None]
