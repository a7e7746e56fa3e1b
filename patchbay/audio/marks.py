"""Remembers the marks of a stream: Telnyx sends one back when all audio before it has been played, or cleared. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MARKS_MAX: Final = 1000  # of one stream, that Telnyx has not sent back


class Mark(NamedTuple):
    """A mark, and the talker who has asked for it."""

    name: str
    talker: int
    fanout_index: int


class Marks:
    """Holds the marks of one stream that Telnyx has not sent back, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._expected: dict[int, Mark] = {}  # by their numbers, which rise
        self._by_name: dict[str, deque[int]] = {}
        self._count = 0

    def expect(self, mark: Mark) -> bool:
        """Remember a mark. Returns False when there are MARKS_MAX already."""
        if len(self._expected) >= MARKS_MAX:
            return False
        self._count += 1
        self._expected[self._count] = mark
        self._by_name.setdefault(mark.name, deque()).append(self._count)
        return True

    def take(self, name: str) -> Mark | None:
        """Return the oldest mark of this name, and forget it. None when nobody has asked for one."""
        numbers = self._by_name.get(name)
        if numbers is None:
            return None
        mark = self._expected.pop(numbers.popleft())
        if not numbers:
            del self._by_name[name]
        return mark

    def sent(self, waiting: list[Mark]) -> list[Mark]:
        """Return the marks that were sent to Telnyx: all but the last ones, which are `waiting`."""
        return list(self._expected.values())[: len(self._expected) - len(waiting)]
