"""Bounds what one media stream can cause without end: events, unreadable messages, lines in the log. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final

from patchbay.net.rate_limit import RateLimit

PATIENCE_FACTOR: Final = 10  # a peer that has sent readable messages may send this many times more unreadable ones
LOG_LINES_PER_S: Final = 1.0  # about unreadable messages of one stream
LOG_LINES_BURST: Final = 5


class EventLimit:
    """Limits the recorded events of one stream, and counts the others by type."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._rate = RateLimit(per_s, burst)
        self._unrecorded: Counter[str] = Counter()

    def allows(self, event_type: str, now: float) -> bool:
        """Tell whether one more event may be recorded; if not, count it."""
        if self._rate.spend(1, now):
            return True
        self._unrecorded[event_type] += 1
        return False

    def take_unrecorded(self) -> dict[str, int]:
        """Return the numbers of events that were not recorded since the last call, by type."""
        taken = dict(self._unrecorded)
        self._unrecorded.clear()
        return taken


class MalformedMessages:
    """Counts the unreadable messages of one stream.

    Attributes:
        total: all of them.
        in_a_row: those since the last readable message.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._log_lines = RateLimit(LOG_LINES_PER_S, LOG_LINES_BURST)
        self._readable = 0  # messages when the last unreadable one came
        self.total = 0
        self.in_a_row = 0

    def add(self, readable: int) -> bool:
        """Count an unreadable message. True: this is the last one in a row that is tolerated.

        Args:
            readable: messages of this stream that were read so far.
        """
        self.in_a_row = 1 if readable > self._readable else self.in_a_row + 1
        self._readable = readable
        self.total += 1
        return self.in_a_row == self._limit * (PATIENCE_FACTOR if readable else 1)

    def should_log(self, now: float) -> bool:
        """Tell whether the last message is the first of a row, and not too many lines have been logged of late."""
        return self.in_a_row == 1 and self._log_lines.spend(1, now)
