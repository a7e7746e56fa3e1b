"""Admits only streams of calls that a signed webhook has announced, where the operator has asked for that.

call_events says which calls are announced. A stream that has come before its webhook waits for a moment. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patchbay.protocol import announced

if TYPE_CHECKING:
    from actors.ingest.stream.stream import Stream
    from patchbay.protocol.telnyx import Start

ANNOUNCEMENT_TIMEOUT_S: Final = 5.0  # webhook and stream come over different connections


class Admission:
    """Decides which streams may begin, and holds those that wait.

    Everywhere, `now` is in monotonic seconds, and `wall` in seconds since 1970.

    Args:
        is_needed: False: every stream is admitted.
    """

    def __init__(self, *, is_needed: bool) -> None:
        self._is_needed = is_needed
        self._until: dict[str, int] = {}  # announced calls, and until when (µs since 1970)
        self._waiting: dict[Stream, tuple[Start, float]] = {}  # with their deadlines

    def admits(self, stream: Stream, start: Start, now: float, wall: float) -> bool:
        """Tell whether a stream may begin; if not, hold it until `take_announced` or `take_overdue` returns it."""
        if not self._is_needed or self._is_announced(start, wall):
            self._waiting.pop(stream, None)
            return True
        self._waiting[stream] = (start, now + ANNOUNCEMENT_TIMEOUT_S)
        return False

    def receive(self, message: bytes) -> None:
        """Take a message of call_events (`patchbay.protocol.announced`). Raises Malformed."""
        change = announced.unpack(message)
        if change.whole:
            self._until.clear()
        self._until.update(change.until)
        for call in [call for call, until in change.until.items() if until == announced.NEVER]:
            del self._until[call]

    def take_announced(self, wall: float) -> list[tuple[Stream, Start]]:
        """Return the streams that have waited and may begin now. They wait no longer."""
        found = [(stream, start) for stream, (start, _) in self._waiting.items() if self._is_announced(start, wall)]
        for stream, _ in found:
            del self._waiting[stream]
        return found

    def take_overdue(self, now: float) -> list[Stream]:
        """Return the streams that have waited for ANNOUNCEMENT_TIMEOUT_S. They wait no longer."""
        found = [stream for stream, (_, deadline) in self._waiting.items() if deadline <= now]
        for stream in found:
            del self._waiting[stream]
        return found

    def remove(self, stream: Stream) -> None:
        """Let a stream wait no longer: its connection has ended."""
        self._waiting.pop(stream, None)

    def _is_announced(self, start: Start, wall: float) -> bool:
        return self._until.get(start.call_control_id, announced.NEVER) > wall * 1_000_000
