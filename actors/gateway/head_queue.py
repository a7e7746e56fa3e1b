"""Keeps the connections whose heads are awaited in order, and chooses the one that is closed when there are too many.
Pure.

Every operation takes constant time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

SocketT = TypeVar("SocketT", bound="Hashable")


class Scope(Protocol):
    """Ends the task of one connection, as a trio.CancelScope does."""

    def cancel(self) -> None: ...


class HeadQueue(Generic[SocketT]):
    """Holds connections that wait, and counts them by host."""

    def __init__(self) -> None:
        self._all: OrderedDict[SocketT, tuple[str, Scope]] = OrderedDict()  # the oldest first
        self._of_host: dict[str, OrderedDict[SocketT, None]] = {}

    def add(self, sock: SocketT, host: str, scope: Scope) -> None:
        """Add a connection."""
        self._all[sock] = host, scope
        self._of_host.setdefault(host, OrderedDict())[sock] = None

    def remove(self, sock: SocketT) -> None:
        """Remove a connection; harmless when it is not there."""
        found = self._all.pop(sock, None)
        if found is not None:
            host, _ = found
            del self._of_host[host][sock]
            if not self._of_host[host]:
                del self._of_host[host]

    def pop_longest(self, host: str, room: int) -> Scope:
        """Take out the connection that has waited longest: of a newcomer's own host, where that has its share of the
        room.

        Args:
            host: whose connection comes.
            room: for so many there is.
        """
        own = self._of_host.get(host)
        if own is None or len(own) < room / len(self._of_host):
            own = None
        sock = next(iter(self._all if own is None else own))
        _, scope = self._all[sock]
        self.remove(sock)
        return scope

    def __len__(self) -> int:
        return len(self._all)
