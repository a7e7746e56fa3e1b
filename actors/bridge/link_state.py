"""Follows one link to another node: from its HELLO to its end. Pure.

CONNECTING --WELCOME-----------------> UP
UP         --silent for SILENT_S-----> LOST     the calls of the node are gone; the link is made anew
CONNECTING --silent for SILENT_S-----> LOST
UP         --UNKNOWN-----------------> CONNECTING   the other bridge has been started anew: HELLO again
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PING_INTERVAL_S: Final = 0.25
SILENT_S: Final = 3.0  # a node that has died is told of within 5 s
UNUSED_S: Final = 10.0  # a link that nobody needs is kept for so long


class State(Enum):
    """Names what is known of the other node."""

    CONNECTING = "connecting"
    UP = "up"
    LOST = "lost"


class LinkState:
    """The state of one link. All times are seconds of one clock."""

    def __init__(self, now: float) -> None:
        self.state = State.CONNECTING
        self._heard_at = now
        self._needed_at = now

    def on_message(self, now: float, *, is_welcome: bool = False, is_unknown: bool = False) -> None:
        """Note that the other node has said something."""
        self._heard_at = now
        if is_welcome:
            self.state = State.UP
        elif is_unknown:
            self.state = State.CONNECTING

    def on_time(self, now: float) -> State:
        """Return the state at this time."""
        if now - self._heard_at > SILENT_S:
            self.state = State.LOST
        return self.state

    def is_unused(self, now: float, *, needed: bool) -> bool:
        """Return whether nobody has needed the link for UNUSED_S. To be called now and then."""
        if needed:
            self._needed_at = now
        return now - self._needed_at > UNUSED_S
