"""Marks that talkers have asked for: Telnyx sends one back when all that was said before it has been played. Pure."""

from __future__ import annotations

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
        self._expected: list[Mark] = []

    def expect(self, mark: Mark) -> bool:
        """Remember a mark. False when there are too many."""
        if len(self._expected) >= MARKS_MAX:
            return False
        self._expected.append(mark)
        return True

    def returned(self, name: str) -> Mark | None:
        """Take the oldest mark of this name: Telnyx has sent it back. None when nobody has asked for it."""
        for place, mark in enumerate(self._expected):
            if mark.name == name:
                return self._expected.pop(place)
        return None

    def besides(self, waiting: list[Mark]) -> list[Mark]:
        """Those that Telnyx has: all but the last ones, which are still waiting to be sent."""
        return self._expected[: len(self._expected) - len(waiting)]
