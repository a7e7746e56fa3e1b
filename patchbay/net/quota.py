"""Counts how many things each key holds at the moment, up to a limit. Pure. Each operation takes constant time."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Key = TypeVar("Key")


class Quota(Generic[Key]):
    """Counts by key. A key that holds nothing takes no memory. A falsy key is not counted, and has no limit.

    Args:
        limit: of each key.
        on_full: called with a key that may hold no more.
    """

    def __init__(self, limit: int = sys.maxsize, on_full: Callable[[Key], object] = lambda key: None) -> None:
        self._limit = limit
        self._on_full = on_full
        self._held: Counter[Key] = Counter()

    def __getitem__(self, key: Key) -> int:
        return self._held[key]

    def has_room(self, key: Key, more: int = 1) -> bool:
        """Tell whether a key may hold some more."""
        if not key or self._held[key] + more <= self._limit:
            return True
        self._on_full(key)
        return False

    def add(self, key: Key, more: int = 1) -> None:
        """Add to what a key holds, whatever the limit: a predecessor may have admitted more."""
        if key and more:
            self._held[key] += more

    def remove(self, key: Key, fewer: int = 1) -> None:
        """Subtract from what a key holds."""
        if key and fewer:
            self._held[key] -= fewer
            if not self._held[key]:
                del self._held[key]

    @contextmanager
    def held(self, key: Key, count: int = 1) -> Iterator[None]:
        """Count some for a key inside the block."""
        self.add(key, count)
        try:
            yield
        finally:
            self.remove(key, count)
