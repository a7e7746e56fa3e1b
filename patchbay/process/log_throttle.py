"""How many log lines of a kind a minute may have, by peer and in all, and what became of the rest. Pure.

Peers cause lines. Whoever causes many must neither fill the disk nor hide what others have caused, so of each kind and peer a
few are written, and then one line says how many more there were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 60.0
KINDS_MAX: Final = 500  # in a window; others count as one
PEERS_MAX: Final = 2_000  # peers of all kinds in a window; others count in all only
SHOWN_CHARS: Final = 200

Kind = tuple[str, int, str]  # logger, level, the message before its arguments are put in


@dataclass(frozen=True)
class Allowed:
    """Lines of one kind in a window."""

    by_peer: int
    in_all: int


@dataclass
class Withheld:
    """Lines of one kind that were not written.

    Attributes:
        last: the newest of them, shortened.
    """

    kind: Kind
    count: int = 0
    hosts: set[str] = field(default_factory=set)
    last: str = ""


class Throttle:
    """Counts the lines of a window, which begins with the first line after the one before."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._of_kind: dict[Kind, int] = {}
        self._of_peer: dict[tuple[Kind, str], int] = {}
        self._withheld: dict[Kind, Withheld] = {}

    def allow(self, kind: Kind, host: str, allowed: Allowed, now: float) -> bool:
        """Whether one more line is to be written; `now`: seconds, monotonic. `rest` is to be asked first."""
        if now - self._began >= WINDOW_S:
            self._began = now
            self._of_kind.clear()
            self._of_peer.clear()
        kind = self._bounded(kind)
        count, limit = self._of_kind.get(kind, 0), allowed.in_all
        if host and ((kind, host) in self._of_peer or len(self._of_peer) < PEERS_MAX):
            by_peer = self._of_peer.get((kind, host), 0)
            self._of_peer[kind, host] = by_peer + 1
            if by_peer >= allowed.by_peer:
                return False
        if count >= limit:
            return False
        self._of_kind[kind] = count + 1
        return True

    def withhold(self, kind: Kind, host: str, text: str) -> None:
        """Note a line that was not allowed."""
        kind = self._bounded(kind)
        withheld = self._withheld.setdefault(kind, Withheld(kind))
        withheld.count += 1
        withheld.last = text[:SHOWN_CHARS]
        if len(withheld.hosts) < PEERS_MAX:
            withheld.hosts.add(host)

    def rest(self, now: float) -> list[Withheld]:
        """Return what was withheld in a window that is over, once."""
        if not self._withheld or now - self._began < WINDOW_S:
            return []
        found = list(self._withheld.values())
        self._withheld.clear()
        return found

    def _bounded(self, kind: Kind) -> Kind:
        if kind in self._of_kind or len(self._of_kind) < KINDS_MAX:
            return kind
        return ("", kind[1], "")
