"""Keeps which calls are wanted here, and which node has each, as far as is known. Pure.

A lease in Redis tells the node of a call, and a message on the call's channel that the lease has changed. What a link
tells is newer: a node that has no such call says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NUMBER_DIGITS: Final = 20  # of 64 bits


class Lease(NamedTuple):
    """Says that a node has the stream with this number. A later stream of the call has a higher number."""

    number: int
    node: str

    def encode(self) -> str:
        """Return the text that Redis keeps; texts of two leases compare as their numbers do."""
        return f"{self.number:0{NUMBER_DIGITS}d} {self.node}"

    @classmethod
    def decode(cls, text: str | bytes) -> Lease | None:
        """Return the lease that a text holds; None: the text is empty or none of ours."""
        given = text.decode(errors="replace") if isinstance(text, bytes) else text
        number, _, node = given.partition(" ")
        return cls(int(number), node) if number.isascii() and number.isdigit() and node else None


class Directory:
    """The wanted calls, and where they are.

    Args:
        node: this node, whose calls are not looked for elsewhere.

    Attributes:
        unknown: wanted calls that are to be looked up.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._wanted: dict[bytes, Lease | None] = {}
        self.unknown: set[bytes] = set()

    @property
    def wanted(self) -> list[bytes]:
        """Return all wanted calls."""
        return list(self._wanted)

    def want(self, call: bytes) -> bool:
        """Add a wanted call. Returns False when it is there already."""
        if call in self._wanted:
            return False
        self._wanted[call] = None
        self.unknown.add(call)
        return True

    def unwant(self, call: bytes) -> bool:
        """Remove a call. Returns False when it is not there."""
        self.unknown.discard(call)
        return self._wanted.pop(call, self) is not self

    def node_of(self, call: bytes) -> str | None:
        """Return the other node that has a wanted call; None: none is known."""
        lease = self._wanted.get(call)
        return None if lease is None or lease.node == self._node else lease.node

    def by_node(self) -> Mapping[str, set[bytes]]:
        """Return the wanted calls of each other node."""
        found: dict[str, set[bytes]] = {}
        for call, lease in self._wanted.items():
            if lease is not None and lease.node != self._node:
                found.setdefault(lease.node, set()).add(call)
        return found

    def learn(self, call: bytes, lease: Lease | None) -> None:
        """Take what Redis says of a call; None: nobody has a lease, which does not end what a link tells."""
        if call not in self._wanted:
            return
        self.unknown.discard(call)
        before = self._wanted[call]
        if lease is not None and (before is None or lease.number >= before.number):
            self._wanted[call] = lease

    def lose(self, node: str, calls: Iterable[bytes]) -> None:
        """Forget that a node has these calls, and have them looked up: it says so, or can't be reached."""
        for call in calls:
            lease = self._wanted.get(call)
            if lease is not None and lease.node == node:
                self._wanted[call] = None
                self.unknown.add(call)

    def look_again(self) -> None:
        """Have every wanted call looked up: a message may have been lost."""
        self.unknown.update(self._wanted)
