"""How much one peer may send, and how much all peers of one token: so much in the long run, and so much at once.

Pure: the time is an argument. Everything is done in constant time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBS_MAX: Final = 10_000  # whose spending is remembered


class RateLimit:
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

    @property
    def complaint(self) -> tuple[str, str]:
        """Return what has been exceeded, for counters, and for the peer."""
        return "flood", "too many messages"

    def refill(self) -> None:
        """Give back all that was spent."""
        self._left = self._burst


class SharedRateLimit(RateLimit):
    """What one connection may send, of what all connections of its token may send together.

    Args:
        together: spent by all of them.
    """

    __slots__ = ("_is_together_spent", "_together")

    def __init__(self, per_s: float, burst: float, together: RateLimit) -> None:
        super().__init__(per_s, burst)
        self._together = together
        self._is_together_spent = False

    def spend(self, amount: float, now: float) -> bool:
        """Spend so much of both; False, and nothing is spent, when there is not so much of either."""
        if not super().spend(amount, now):
            return False
        self._is_together_spent = not self._together.spend(amount, now)
        if self._is_together_spent:
            self._left += amount
        return not self._is_together_spent

    @property
    def complaint(self) -> tuple[str, str]:
        """Return which of the two has been exceeded."""
        if self._is_together_spent:
            return "token_flood", "too many messages of all connections with this token's `sub`"
        return super().complaint


class RateLimits:
    """RateLimits of connections. Those of one `sub` share a second one, also with connections that have ended.

    Args:
        per_s, burst: of each connection.
        token_per_s, token_burst: of all connections of one `sub` together.
    """

    def __init__(self, per_s: float, burst: float, *, token_per_s: float, token_burst: float) -> None:
        self._each = per_s, burst
        self._together = token_per_s, token_burst
        self._of_sub: OrderedDict[str, RateLimit] = OrderedDict()  # the one asked for last is at the end

    def of(self, claims: Mapping[str, Any] | None) -> RateLimit:
        """Make the rate limit of a connection. Without claims, nobody is known to share it."""
        if not claims or not claims.get("sub"):
            return RateLimit(*self._each)
        sub = str(claims["sub"])
        together = self._of_sub.pop(sub, None) or RateLimit(*self._together)
        self._of_sub[sub] = together
        if len(self._of_sub) > SUBS_MAX:
            self._of_sub.popitem(last=False)
        return SharedRateLimit(*self._each, together)
