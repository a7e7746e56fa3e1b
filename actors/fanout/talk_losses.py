"""What was dropped of somebody's talk: told in milliseconds, once a second at most for each reason, and in all to the
last millisecond. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from patchbay.protocol.errors import TALK_LATE, TALK_TOO_FAST
from patchbay.protocol.talk import BYTES_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL_S: Final = 1.0
_CODES: Final = {each.title: each.code for each in (TALK_TOO_FAST, TALK_LATE)}
_DETAILS: Final = {
    TALK_TOO_FAST.title: "Talk comes faster than it can be spoken: {:,} ms of it were dropped.",
    TALK_LATE.title: "The call did not take talk in time: {:,} ms of it were dropped.",
}


class Loss(NamedTuple):
    """What a talker is to be told."""

    code: int
    title: str
    detail: str
    dropped_ms: int


class TalkLosses:
    """What one talker has not been told yet."""

    __slots__ = ("_ms", "_told_at")

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}
        self._told_at: dict[str, float] = {}

    def add(self, title: str, ms: float) -> None:
        """So much was dropped, for this reason."""
        self._ms[title] = self._ms.get(title, 0) + ms

    def add_bytes(self, title: str, size: int) -> None:
        """The same in bytes of G.711."""
        self.add(title, size * 1000 / BYTES_PER_S)

    def due(self, now: float) -> Iterator[Loss]:
        """Take out what is to be told now."""
        for title, ms in self._ms.items():
            if ms >= 1 and now - self._told_at.get(title, float("-inf")) >= INTERVAL_S:
                self._told_at[title] = now
                self._ms[title] = ms % 1
                yield Loss(_CODES[title], title, _DETAILS[title].format(int(ms)), int(ms))
