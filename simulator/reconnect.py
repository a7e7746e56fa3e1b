"""Whether and when a lost media stream is connected again. Pure; the time is an argument, in seconds.

Telnyx documents no more than that it does so after "socket drops" (TeXML's enableReconnect, default true).
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY_S, MAX_DELAY_S = 0.1, 1.0
ABNORMAL_CODE = 1006
# A drop is connected again, a decision is not: 1000 and 1008 are the server's word, 1009 would come again.
DROP_CODES = frozenset({1001, 1005, ABNORMAL_CODE, 1011, 1012, 1013, 1014})


@dataclass(frozen=True)
class Ending:
    """How a connection ended. `opened`: the handshake was done; `code`: the WebSocket close code, then."""

    opened: bool
    code: int | None
    reason: str

    @property
    def text(self) -> str:
        return " ".join(part for part in (str(self.code or ""), self.reason) if part)


@dataclass(frozen=True)
class Outcome:
    """How a call ended: "stopped" by us or at its end, "closed" by the server, or its stream "failed"."""

    kind: str
    reason: str = ""


class Reconnecting:
    """Decides after each connection of one stream."""

    def __init__(self, *, wanted: bool, for_s: float) -> None:
        self._wanted = wanted
        self._for_s = for_s
        self._lost_at: float | None = None
        self._attempts = 0

    def after(self, ending: Ending, now: float, *, begun: bool) -> Outcome | float:
        """What a connection's end means: the call's outcome, or the seconds to wait before the next attempt.

        `begun`: the stream's start frame has been sent, ever; before that there is one attempt.
        """
        if ending.opened and ending.code not in DROP_CODES:
            return Outcome("closed", ending.text)
        if ending.opened or self._lost_at is None:
            self._lost_at, self._attempts = now, 0
        if not begun or not self._wanted or now - self._lost_at > self._for_s:
            return Outcome("failed", ending.text)
        self._attempts += 1
        return min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** (self._attempts - 1))

    @property
    def just_lost(self) -> bool:
        """Whether the last connection was the one that worked."""
        return self._attempts == 1
