"""The optional rule that a stream is only taken for a call that a signed webhook has announced.

Knows which calls those are, as call_events says, and keeps streams that have come before their webhook for a moment.
Pure: the times are arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patchbay.protocol import announced

if TYPE_CHECKING:
    from actors.ingest.stream import Stream
    from patchbay.protocol.telnyx import Start

PATIENCE_S: Final = 5.0  # webhook and stream come by different ways


class Admission:
    """Args: is_needed: whether there is the rule. `now`: monotonic seconds; `wall`: seconds since 1970."""

    def __init__(self, *, is_needed: bool) -> None:
        self._is_needed = is_needed
        self._until: dict[str, int] = {}
        self._waiting: dict[Stream, tuple[Start, float]] = {}

    def admits(self, stream: Stream, start: Start, now: float, wall: float) -> bool:
        """Whether a stream may begin. If not, it waits for its announcement."""
        if not self._is_needed or self._knows(start, wall):
            self._waiting.pop(stream, None)
            return True
        self._waiting[stream] = (start, now + PATIENCE_S)
        return False

    def take(self, message: bytes) -> None:
        """Learn what call_events says. Raises Malformed."""
        told = announced.unpack(message)
        if told.whole:
            self._until.clear()
        self._until.update(told.until)
        for call in [call for call, until in told.until.items() if until == announced.NEVER]:
            del self._until[call]

    def ready(self, wall: float) -> list[tuple[Stream, Start]]:
        """Those that waited and may begin now."""
        found = [(stream, start) for stream, (start, _) in self._waiting.items() if self._knows(start, wall)]
        for stream, _ in found:
            del self._waiting[stream]
        return found

    def overdue(self, now: float) -> list[Stream]:
        """Those that have waited in vain."""
        found = [stream for stream, (_, deadline) in self._waiting.items() if deadline <= now]
        for stream in found:
            del self._waiting[stream]
        return found

    def forget(self, stream: Stream) -> None:
        """It has gone."""
        self._waiting.pop(stream, None)

    def _knows(self, start: Start, wall: float) -> bool:
        return self._until.get(start.call_control_id, announced.NEVER) > wall * 1_000_000
