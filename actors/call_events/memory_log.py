"""The last events, in memory, each with its offset; and the ids of those that must not be taken twice.

Pure. Whatever keeps events has this shape: `append` gives an offset or says "known", `since` gives what came after one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from actors.call_events.events import Event, encode


@dataclass(frozen=True)
class Entry:
    """An event with its place. `text` is the encoding that all clients share."""

    offset: int
    text: bytes
    call_control_id: str | None


@dataclass(frozen=True)
class Replay:
    """What came after an offset. Not `complete`: some of it is not kept any more, or the offset is none of ours."""

    entries: list[Entry]
    complete: bool


class MemoryLog:
    """Bounded in events, bytes and remembered ids; the oldest go.

    Args:
        epoch: names this log; an offset means nothing in another one.
        first_offset: of the first event. Higher in every later process, so that an offset from an earlier one is never
            taken for one of ours. Below 2**53, or JavaScript could not hold it.
    """

    def __init__(self, *, epoch: str, first_offset: int, max_events: int, max_bytes: int, max_ids: int) -> None:
        self.epoch = epoch
        self._next = first_offset
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_ids = max_ids
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._ids: dict[str, None] = {}

    @property
    def last_offset(self) -> int:
        """Of the newest event, or what comes before the first."""
        return self._next - 1

    def append(self, event: Event) -> Entry | None:
        """Keep an event; None when its id is known, and nothing happens then."""
        if event.id in self._ids:
            return None
        self._ids[event.id] = None
        if len(self._ids) > self._max_ids:
            del self._ids[next(iter(self._ids))]
        entry = Entry(self._next, encode(event, offset=self._next, epoch=self.epoch), event.call_control_id)
        self._next += 1
        self._entries.append(entry)
        self._bytes += len(entry.text)
        while len(self._entries) > self._max_events or self._bytes > self._max_bytes:
            self._bytes -= len(self._entries.popleft().text)
        return entry

    def since(self, offset: int) -> Replay:
        """Everything after an offset that is still kept, oldest first."""
        oldest = self._next - len(self._entries)
        entries = [entry for entry in self._entries if entry.offset > offset]
        return Replay(entries, complete=oldest - 1 <= offset <= self.last_offset)

    def statistics(self) -> dict[str, int]:
        """How full it is."""
        return {
            "events_kept": len(self._entries),
            "bytes_kept": self._bytes,
            "ids_kept": len(self._ids),
        }
