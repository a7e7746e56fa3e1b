"""Limits rates by token buckets: of one peer, of all connections of one token, of one address.

Pure: the time is an argument. Every operation takes constant time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS_MAX: Final = 20_000
SUBS_MAX: Final = 10_000


class RateLimit:
    """A token bucket. It is full at first.

    Args:
        per_s: tokens that come back in a second.
        burst: tokens that there are at most.
    """

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = float("-inf")

    def spend(self, amount: float, now: float) -> bool:
        """Spend some tokens; False, and none is spent, when there are too few. `now`: seconds, monotonic."""
        left = self._left + (now - self._at) * self._per_s
        if left > self._burst:
            left = self._burst
        self._at = now
        enough = amount <= left
        self._left = left - amount if enough else left
        return enough

    @property
    def complaint(self) -> tuple[str, str]:
        """Return which limit was exceeded: a name for counters, and a text for the peer."""
        return "flood", "too many messages"

    def refill(self) -> None:
        """Fill the bucket."""
        self._left = self._burst


class RateLimitsByKey:
    """A rate limit for each key. When there are too many keys, the one that was not used for longest is full again.

    Args:
        per_s, burst: see `RateLimit`.
        max_keys: how many are remembered.
    """

    def __init__(self, per_s: float, burst: float, max_keys: int = KEYS_MAX) -> None:
        self._per_s = per_s
        self._burst = burst
        self._max_keys = max_keys
        self._limits: OrderedDict[str, RateLimit] = OrderedDict()  # the key that was used last is at the end

    def of(self, key: str, times: int = 1) -> RateLimit:
        """Return the limit of a key. `times`: how many times as large as others the limit of this key is."""
        limit = self._limits.pop(key, None) or RateLimit(self._per_s * times, self._burst * times)
        self._limits[key] = limit
        if len(self._limits) > self._max_keys:
            self._limits.popitem(last=False)
        return limit

    def __len__(self) -> int:
        return len(self._limits)


class SharedRateLimit(RateLimit):
    """The rate limit of one connection, which also spends from the limit of all connections of its token.

    Args:
        together: the limit of all of them.
    """

    __slots__ = ("_is_together_spent", "_together")

    def __init__(self, per_s: float, burst: float, together: RateLimit) -> None:
        super().__init__(per_s, burst)
        self._together = together
        self._is_together_spent = False

    def spend(self, amount: float, now: float) -> bool:
        """Spend tokens of both limits; False, and none is spent, when one has too few."""
        if not super().spend(amount, now):
            return False
        self._is_together_spent = not self._together.spend(amount, now)
        if self._is_together_spent:
            self._left += amount
        return not self._is_together_spent

    @property
    def complaint(self) -> tuple[str, str]:
        """Return which of the two limits was exceeded."""
        if self._is_together_spent:
            return "token_flood", "too many messages of all connections with this token's `sub`"
        return super().complaint


class RateLimits:
    """Makes the rate limits of connections. Connections of one `sub` share a second limit, also with ended ones.

    Args:
        per_s, burst: of each connection.
        token_per_s, token_burst: of all connections of one `sub` together.
    """

    def __init__(self, per_s: float, burst: float, *, token_per_s: float, token_burst: float) -> None:
        self._each = per_s, burst
        self._of_subs = RateLimitsByKey(token_per_s, token_burst, SUBS_MAX)

    def of(self, claims: Mapping[str, Any] | None) -> RateLimit:
        """Return a new rate limit for a connection. Without claims it is shared with no other."""
        if not claims or not claims.get("sub"):
            return RateLimit(*self._each)
        return SharedRateLimit(*self._each, self._of_subs.of(str(claims["sub"])))
