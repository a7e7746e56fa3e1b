"""Limits the log lines of a kind in a minute, by peer and in all, and counts those that are suppressed. Pure.

Peers cause lines. One peer must neither fill the disk nor hide the lines of others, so of each kind and peer a few
lines are written, and then one line says how many more there were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 60.0
KINDS_MAX: Final = 500  # in a window; all others count as one kind
PEERS_MAX: Final = 2_000  # peers of all kinds in a window; of all others only the sum is limited
SHOWN_CHARS: Final = 200

Kind = tuple[str, int, str]  # logger, level, the message before its arguments are put in


@dataclass(frozen=True)
class LineLimits:
    """Holds how many lines of one kind a window may have."""

    by_peer: int
    in_all: int


@dataclass
class Suppressed:
    """Counts the lines of one kind that were not written.

    Attributes:
        last: the newest of them, shortened.
    """

    kind: Kind
    count: int = 0
    hosts: set[str] = field(default_factory=set)
    last: str = ""


class Throttle:
    """Counts the lines of a window, which begins with the first line after the end of the last window."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._of_kind: dict[Kind, int] = {}
        self._of_peer: dict[tuple[Kind, str], int] = {}
        self._withheld: dict[Kind, Suppressed] = {}

    def allow(self, kind: Kind, host: str, allowed: LineLimits, now: float) -> bool:
        """Return whether one more line may be written. Call `take_suppressed` first: a new window forgets the counts.

        Args:
            now: seconds, monotonic.
        """
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

    def suppress(self, kind: Kind, host: str, text: str) -> None:
        """Count a line that was not allowed."""
        kind = self._bounded(kind)
        suppressed = self._withheld.setdefault(kind, Suppressed(kind))
        suppressed.count += 1
        suppressed.last = text[:SHOWN_CHARS]
        if len(suppressed.hosts) < PEERS_MAX:
            suppressed.hosts.add(host)

    def take_suppressed(self, now: float) -> list[Suppressed]:
        """Return the suppressed lines of a window that is over, once."""
        if not self._withheld or now - self._began < WINDOW_S:
            return []
        found = list(self._withheld.values())
        self._withheld.clear()
        return found

    def _bounded(self, kind: Kind) -> Kind:
        if kind in self._of_kind or len(self._of_kind) < KINDS_MAX:
            return kind
        return ("", kind[1], "")
