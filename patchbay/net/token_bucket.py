"""Token buckets: so much in the long run, and so much at once. Pure: the time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_KEYS: Final = 20_000


class Buckets:
    """A bucket for each key. At most `MAX_KEYS` are kept; the one not asked for the longest is forgotten, and full again.

    Args:
        per_s: what comes back in a second.
        burst: what there is at most.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float, times: int = 1) -> bool:
        """Take one; False when there is none. `times`: this bucket is so many times as large."""
        burst = self._burst * times
        left, at = self._left.pop(key, (burst, now))
        left = min(burst, left + (now - at) * self._per_s * times)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)
        return allowed

    def __len__(self) -> int:
        return len(self._left)
