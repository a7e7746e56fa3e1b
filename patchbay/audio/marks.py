"""Holds the marks of a stream until Telnyx sends them back: it has then played all talk before the mark. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MARKS_MAX: Final = 1000  # of one stream


class Mark(NamedTuple):
    """Describes a mark: its name, and the talker who has asked for it."""

    name: str
    talker: int
    fanout_index: int


class Marks:
    """Holds the marks of one stream that Telnyx has not sent back yet, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._marks: dict[int, Mark] = {}  # by a number that counts up
        self._by_name: dict[str, deque[int]] = {}
        self._count = 0

    def add(self, mark: Mark) -> bool:
        """Add a mark. Return False when there are MARKS_MAX already."""
        if len(self._marks) >= MARKS_MAX:
            return False
        self._count += 1
        self._marks[self._count] = mark
        self._by_name.setdefault(mark.name, deque()).append(self._count)
        return True

    def pop(self, name: str) -> Mark | None:
        """Remove and return the oldest mark of a name, which Telnyx has sent back; None: there is none."""
        numbers = self._by_name.get(name)
        if numbers is None:
            return None
        mark = self._marks.pop(numbers.popleft())
        if not numbers:
            del self._by_name[name]
        return mark

    def without(self, waiting: list[Mark]) -> list[Mark]:
        """Return the marks that were sent to Telnyx: all but the last ones, which wait to be sent."""
        return list(self._marks.values())[: len(self._marks) - len(waiting)]
