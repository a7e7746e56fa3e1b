"""When a round of the poller begins: at once where frames are few, by the clock where they are many. Pure.

Few frames: each wakes us, once, and a few in a row may come close together. Many: what arrives within a linger of time
leaves together, which is what makes a frame cheap under load.
"""

from __future__ import annotations

from typing import Final

IN_ADVANCE: Final = 2  # rounds
MANY: Final = 3  # connections served in a round: so many more will have something when the next one is due


class PollClock:
    """Of one poller. Times are of one clock, in seconds.

    Args:
        linger_s: the least time between two rounds, but for a few that may be spent in advance.
    """

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s
        self._spent_until = float("-inf")  # each round spends a linger of time; some may be spent in advance
        self._due: float | None = None  # rounds go by the clock, and this is when the next one begins

    def woken(self, now: float) -> float | None:
        """Something has come, or the time has. Returns when a round is to begin instead of now."""
        if self._due is None:
            soonest = self._spent_until - IN_ADVANCE * self._linger_s
            if soonest > now:
                self._due = soonest
                return soonest
        return None

    def served(self, now: float, more: bool, connections: int) -> float | None:
        """A round that began at `now` has served so many; `more`: something is to be done soon, whatever comes.

        Returns:
            When the next one begins; None: when something comes.
        """
        by_the_clock = self._due is not None
        self._spent_until = max(self._spent_until, now) + self._linger_s
        if more or (by_the_clock and connections >= MANY):
            # Kept to a grid, whose times are met a little early or late; one that was missed is not made up for.
            self._due = max((self._due if self._due is not None else now) + self._linger_s, now)
            return self._due
        self._due = None
        return None
