"""Talk that came before the stream it is for: kept for a moment, since a stream that moves here from another process
and the talk for it come by different ways. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from actors.wire.bus import Talk

KEEP_S: Final = 0.5
KEEP_MAX: Final = 2000  # pieces of talk, of all calls together; the oldest goes


class EarlyTalk:
    """Talk for calls that are not here (yet)."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Talk]] = deque()

    def __bool__(self) -> bool:
        return bool(self._kept)

    def keep(self, talk: Talk, now: float) -> None:
        """Keep a piece until its stream is here, or its time is over."""
        self._kept.append((now + KEEP_S, talk))

    def claim(self, call: bytes) -> list[Talk]:
        """The stream of this call is here: what was kept for it, in order."""
        mine = [talk for _, talk in self._kept if talk.call == call]
        if mine:
            self._kept = deque(pair for pair in self._kept if pair[1].call != call)
        return mine

    def expired(self, now: float) -> list[Talk]:
        """What was kept in vain."""
        gone = []
        while self._kept and (self._kept[0][0] <= now or len(self._kept) > KEEP_MAX):
            gone.append(self._kept.popleft()[1])
        return gone
