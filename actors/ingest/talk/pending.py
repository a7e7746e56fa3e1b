"""Keeps talk for a moment that comes before its stream: a stream that moves to this process and its talk come from
different processes. Pure.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from patchbay.protocol.batches import Talk

KEEP_S: Final = 0.5
KEEP_MAX: Final = 2000  # pieces of talk, of all calls together; the oldest goes
KEEP_MAX_BYTES: Final = 16 * 1024 * 1024


class PendingTalk:
    """Holds talk for calls that have no stream in this process (yet)."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Talk]] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._kept)

    @property
    def next_due(self) -> float | None:
        """When the oldest piece expires; None when there is none."""
        if not self._kept:
            return None
        return -math.inf if self._is_too_much else self._kept[0][0]

    def add(self, talk: Talk, now: float) -> None:
        """Keep a piece for KEEP_S, or until `take`."""
        self._kept.append((now + KEEP_S, talk))
        self._bytes += len(talk.payload)

    def take(self, call: bytes) -> list[Talk]:
        """Return all talk for this call, in order, and keep it no longer."""
        mine = [talk for _, talk in self._kept if talk.call == call]
        if mine:
            self._kept = deque(pair for pair in self._kept if pair[1].call != call)
            self._bytes -= sum(len(talk.payload) for talk in mine)
        return mine

    def take_expired(self, now: float) -> list[Talk]:
        """Return talk that has waited for KEEP_S or is too much, the oldest first, and keep it no longer."""
        gone = []
        while self._kept and (self._kept[0][0] <= now or self._is_too_much):
            gone.append(self._kept.popleft()[1])
            self._bytes -= len(gone[-1].payload)
        return gone

    @property
    def _is_too_much(self) -> bool:
        return len(self._kept) > KEEP_MAX or self._bytes > KEEP_MAX_BYTES
