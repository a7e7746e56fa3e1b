"""A connection as the pump sees it, and nothing else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket


class Pumped(Protocol):
    """What is served; `actors.runtime.peer.Peer` is one."""

    sock: socket.socket
    untaken: int  # bytes at the front of the socket that have been handled
    take_soon: bool  # something was handled that must not be handled twice
    last_heard: float  # when something arrived, in trio's clock

    def handle(self, data: memoryview, at: int, size: int) -> int:
        """Handle the complete frames in data[at:size]; return how far that got."""

    def end_of_input(self) -> None:
        """The peer has closed, or the connection broke."""

    def writable(self) -> bool:
        """There is room for output again. False when nothing waits for room any more."""
