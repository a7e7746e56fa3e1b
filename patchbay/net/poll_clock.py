"""Decides when the next round of the poller begins: at once under low load, by the clock under high load. Pure.

Under low load each frame wakes the poller. Under high load the frames that arrive within `linger_s` are handled in one
round, which makes each of them cheap.
"""

from __future__ import annotations

from typing import Final

BURST_ROUNDS: Final = 2  # rounds that may follow each other at once
BUSY_CONNECTIONS: Final = (
    3  # served in a round: then rounds go by the clock, since as many will have frames in the next one
)


class PollClock:
    """Schedules the rounds of one poller. All times are seconds of one clock.

    Args:
        linger_s: the least time between two rounds, besides BURST_ROUNDS.
    """

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s
        self._spent_until = float("-inf")  # each round adds `linger_s`
        self._due: float | None = None  # when the next round begins, while rounds go by the clock

    def on_wakeup(self, now: float) -> float | None:
        """Return when the round is to begin; None: now."""
        if self._due is None:
            soonest = self._spent_until - BURST_ROUNDS * self._linger_s
            if soonest > now:
                self._due = soonest
                return soonest
        return None

    def on_round_end(self, now: float, more: bool, connections: int) -> float | None:
        """Return when the next round begins; None: when a socket becomes readable.

        Args:
            now: when the round began.
            more: work is left for the next round.
            connections: how many were served in the round.
        """
        by_the_clock = self._due is not None
        self._spent_until = max(self._spent_until, now) + self._linger_s
        if more or (by_the_clock and connections >= BUSY_CONNECTIONS):
            # On a grid of times, so rounds that begin a little early or late do not drift; missed rounds are left out.
            self._due = max((self._due if self._due is not None else now) + self._linger_s, now)
            return self._due
        self._due = None
        return None
