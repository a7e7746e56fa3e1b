"""Marks that talkers have asked for: Telnyx sends one back when all that was said before it has been played. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MARKS_MAX: Final = 1000  # of one stream, until Telnyx has sent them back


class Mark(NamedTuple):
    """A mark, and who has asked for it."""

    name: str
    talker: int
    fanout_index: int


class Marks:
    """The marks of one stream that Telnyx has not sent back yet, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._expected: dict[int, Mark] = {}  # by a number that counts them
        self._by_name: dict[str, deque[int]] = {}
        self._count = 0

    def expect(self, mark: Mark) -> bool:
        """Remember a mark. False when there are too many."""
        if len(self._expected) >= MARKS_MAX:
            return False
        self._count += 1
        self._expected[self._count] = mark
        self._by_name.setdefault(mark.name, deque()).append(self._count)
        return True

    def returned(self, name: str) -> Mark | None:
        """Take the oldest mark of this name: Telnyx has sent it back. None when nobody has asked for it."""
        numbers = self._by_name.get(name)
        if numbers is None:
            return None
        mark = self._expected.pop(numbers.popleft())
        if not numbers:
            del self._by_name[name]
        return mark

    def besides(self, waiting: list[Mark]) -> list[Mark]:
        """Those that Telnyx has: all but the last ones, which are still waiting to be sent."""
        return list(self._expected.values())[: len(self._expected) - len(waiting)]
