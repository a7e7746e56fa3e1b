"""Keeps the latest values by key, for a bounded time and up to a bounded number. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")


class TtlCache(Generic[T]):
    """Keeps the values that were put in during the last `keep_s` seconds, at most `most`: the oldest go first."""

    def __init__(self, keep_s: float, most: int) -> None:
        self._keep_s = keep_s
        self._most = most
        # The oldest first. Not a dict, which looks for its first key among all that were deleted before it.
        self._known: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def put(self, key: Hashable, value: T, now: float) -> None:
        """Keep a value from now on; it replaces the value of this key. `now`: seconds, monotonic."""
        self._known.pop(key, None)
        self._known[key] = now, value
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def get(self, key: Hashable, now: float) -> T | None:
        """Return the value of a key; None if there is none or it is too old."""
        self._forget_old(now)
        found = self._known.get(key)
        return None if found is None else found[1]

    def all(self, now: float) -> list[T]:
        """Return all values that are not too old, the oldest first."""
        self._forget_old(now)
        return [value for _, value in self._known.values()]

    def _forget_old(self, now: float) -> None:
        while self._known:
            key, (when, _) = next(iter(self._known.items()))
            if now - when < self._keep_s:
                return
            del self._known[key]
