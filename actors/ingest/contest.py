"""Damps streams of one call that take turns: two sockets that both reconnect as soon as they are superseded. Pure.

The newest stream is the call's at once, always. But where that happens again and again, the one that has lost is closed
later and later, since its closing is what makes it come back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from patchbay.process.ttl_cache import TtlCache

FREE: Final = 2  # times that are nothing unusual: a reconnect, and one more
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 16.0
CALM_S: Final = 60.0  # after so long without, all is forgotten
CALLS_MAX: Final = 1000


class Contest(NamedTuple):
    """How often a call's stream was superseded of late, and how long the loser of the last time stays open."""

    times: int
    wait_s: float


class Contests:
    """Those of one process."""

    def __init__(self) -> None:
        self._counts: TtlCache[int] = TtlCache(CALM_S, CALLS_MAX)

    def superseded(self, call: bytes, now: float) -> Contest:
        """A stream of this call has been superseded."""
        count = (self._counts.get(call, now) or 0) + 1
        self._counts.put(call, count, now)
        if count <= FREE:
            return Contest(count, 0.0)
        return Contest(count, min(FIRST_WAIT_S * 2.0 ** min(count - FREE - 1, 10), LONGEST_WAIT_S))
