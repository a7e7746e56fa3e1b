"""Counts dropped talk of one talker, and reports it: in milliseconds, at most once a second for each reason. Pure."""

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
    """The fields of an error for the talker."""

    code: int
    title: str
    detail: str
    dropped_ms: int


class TalkLosses:
    """Holds the losses that the talker has not been told yet."""

    __slots__ = ("_ms", "_reported_at")

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}
        self._reported_at: dict[str, float] = {}

    def add(self, title: str, ms: float) -> None:
        """Add a loss. `title`: of the error, which says the reason."""
        self._ms[title] = self._ms.get(title, 0) + ms

    def add_bytes(self, title: str, size: int) -> None:
        """Add a loss in bytes of G.711."""
        self.add(title, size * 1000 / BYTES_PER_S)

    def due(self, now: float) -> Iterator[Loss]:
        """Yield, and forget, the losses that are to be reported now."""
        for title, ms in self._ms.items():
            if ms >= 1 and now - self._reported_at.get(title, float("-inf")) >= INTERVAL_S:
                self._reported_at[title] = now
                self._ms[title] = ms % 1
                yield Loss(_CODES[title], title, _DETAILS[title].format(int(ms)), int(ms))
