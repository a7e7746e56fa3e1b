"""Slows down two streams of one call that take turns, since each reconnects as soon as it is superseded. Pure.

The newest stream always has the call at once. Where that happens again and again, the stream that has lost is closed
later each time, since its closing makes it come back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from patchbay.process.ttl_cache import TtlCache

FREE: Final = 2  # times without a delay: a reconnect, and one more
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 16.0
CALM_S: Final = 60.0  # after so long without a supersession the count begins anew
CALLS_MAX: Final = 1000


class Contest(NamedTuple):
    """How often streams of a call were superseded of late, and how long the last one of them stays open."""

    times: int
    wait_s: float


class Contests:
    """Counts supersessions of late, by call."""

    def __init__(self) -> None:
        self._counts: TtlCache[int] = TtlCache(CALM_S, CALLS_MAX)

    def count(self, call: bytes, now: float) -> Contest:
        """Count a stream of this call that was superseded."""
        count = (self._counts.get(call, now) or 0) + 1
        self._counts.put(call, count, now)
        if count <= FREE:
            return Contest(count, 0.0)
        return Contest(count, min(FIRST_WAIT_S * 2.0 ** min(count - FREE - 1, 10), LONGEST_WAIT_S))
