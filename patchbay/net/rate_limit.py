"""Limits rates with token buckets: so many units in a second, and a burst at once. Pure: the time is an argument.

There is a limit for each key (an address, a token's `sub`), and for each connection together with all connections of
its `sub`. Each operation takes constant time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS_MAX: Final = 20_000
SUBS_MAX: Final = 10_000


class RateLimit:
    """Holds a token bucket, which is full at first.

    Args:
        per_s: how many units are refilled in a second.
        burst: how many units the bucket holds.
    """

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = float("-inf")

    def spend(self, amount: float, now: float) -> bool:
        """Take some units. Return False, and take none, when there are not enough."""
        left = self._left + (now - self._at) * self._per_s
        if left > self._burst:
            left = self._burst
        self._at = now
        enough = amount <= left
        self._left = left - amount if enough else left
        return enough

    @property
    def violation(self) -> tuple[str, str]:
        """Return which limit was exceeded: a name for counters, and a sentence for the peer."""
        return "flood", "too many messages"

    def refill(self) -> None:
        """Fill the bucket."""
        self._left = self._burst


class SharedRateLimit(RateLimit):
    """Limits one connection, and all connections of its token together.

    Args:
        shared: the limit of all these connections.
    """

    __slots__ = ("_is_shared_exceeded", "_shared")

    def __init__(self, per_s: float, burst: float, shared: RateLimit) -> None:
        super().__init__(per_s, burst)
        self._shared = shared
        self._is_shared_exceeded = False

    def spend(self, amount: float, now: float) -> bool:
        """Take some units of both limits. Return False, and take none, when either has not enough."""
        if not super().spend(amount, now):
            return False
        self._is_shared_exceeded = not self._shared.spend(amount, now)
        if self._is_shared_exceeded:
            self._left += amount
        return not self._is_shared_exceeded

    @property
    def violation(self) -> tuple[str, str]:
        """Return which of the two limits was exceeded: a name for counters, and a sentence for the peer."""
        if self._is_shared_exceeded:
            return "token_flood", "too many messages of all connections with this token's `sub`"
        return super().violation


class RateLimitsByKey:
    """Holds a rate limit for each key. The least recently used one is forgotten when there are too many, and is full
    again.

    Args:
        per_s, burst: of each key.
        max_keys: how many keys are remembered.
    """

    def __init__(self, per_s: float, burst: float, max_keys: int = KEYS_MAX) -> None:
        self._per_s = per_s
        self._burst = burst
        self._max_keys = max_keys
        self._limits: OrderedDict[str, RateLimit] = OrderedDict()  # the most recently used is last

    def __len__(self) -> int:
        return len(self._limits)

    def of(self, key: str, times: int = 1) -> RateLimit:
        """Return the limit of a key. A new one is `times` as high as that of other keys."""
        limit = self._limits.pop(key, None) or RateLimit(self._per_s * times, self._burst * times)
        self._limits[key] = limit
        if len(self._limits) > self._max_keys:
            self._limits.popitem(last=False)
        return limit


class RateLimits:
    """Makes the rate limits of connections. Connections of one `sub` share a second limit, also with those that have
    ended.

    Args:
        per_s, burst: of each connection.
        token_per_s, token_burst: of all connections of one `sub` together.
    """

    def __init__(self, per_s: float, burst: float, *, token_per_s: float, token_burst: float) -> None:
        self._connection = per_s, burst
        self._by_sub = RateLimitsByKey(token_per_s, token_burst, SUBS_MAX)

    def of(self, claims: Mapping[str, Any] | None) -> RateLimit:
        """Make the rate limit of a connection. Without a `sub` it is not shared."""
        if not claims or not claims.get("sub"):
            return RateLimit(*self._connection)
        return SharedRateLimit(*self._connection, self._by_sub.of(str(claims["sub"])))
