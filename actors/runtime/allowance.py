"""How much one peer may send: so much in the long run, and so much at once. Pure: the time is an argument."""

from __future__ import annotations


class Allowance:
    """Spent by what a peer sends; comes back with time.

    Args:
        per_s: what comes back in a second.
        burst: what there is at most.
    """

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = float("-inf")

    def spend(self, amount: float, now: float) -> bool:
        """Spend so much; False, and nothing is spent, when there is not so much."""
        left = self._left + (now - self._at) * self._per_s
        if left > self._burst:
            left = self._burst
        self._at = now
        enough = amount <= left
        self._left = left - amount if enough else left
        return enough

    def refill(self) -> None:
        """Give back all that was spent."""
        self._left = self._burst
