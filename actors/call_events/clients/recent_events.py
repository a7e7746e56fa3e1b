"""Keeps the newest events in memory, for the clients that keep up. Their offsets have no gap. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.call_events.entry import Entry, Interest

SPARE = 256  # entries beyond the bound, so that many are dropped at a time


class RecentEvents:
    """Holds events, bounded in number and bytes; the oldest are dropped.

    Attributes:
        last: offset of the newest event, or the one before the first event.
    """

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._entries: list[Entry] = []
        self._bytes = 0
        self._joined: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.last = 0

    @property
    def before(self) -> int:
        """Return the offset after which all events are kept."""
        return self.last - len(self._entries)

    def reset(self, last: int) -> None:
        """Drop all events. The next event comes after `last`."""
        self._entries.clear()
        self._joined.clear()
        self._bytes = 0
        self.last = last

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add newer events. If there is a gap before them, all older events are dropped."""
        if not entries:
            return
        if entries[0].offset != self.last + 1:
            self.reset(entries[0].offset - 1)
        self._joined.clear()
        self._entries += entries
        self._bytes += sum(len(entry.frame) for entry in entries)
        self.last = entries[-1].offset
        if len(self._entries) > self._max_events + SPARE or self._bytes > self._max_bytes:
            self._shorten()

    def after(self, offset: int, interest: Interest, max_bytes: int) -> tuple[bytes, int]:
        """Return the wanted frames after an offset, as one piece, and the offset up to which these are all.

        The piece is longer than `max_bytes` only when it is a single frame. `offset` must not be less than `before`.
        Clients that want all events share one piece.
        """
        if not interest.is_everything:
            return self._gather(offset, interest, max_bytes)
        key = offset, max_bytes
        if key not in self._joined:
            self._joined[key] = self._gather(offset, interest, max_bytes)
        return self._joined[key]

    def entries_after(self, offset: int) -> list[Entry]:
        """Return all events after an offset, which must not be less than `before`."""
        return self._entries[offset - self.before :]

    def statistics(self) -> dict[str, int]:
        """Return how many events and bytes are kept."""
        return {"events_kept": len(self._entries), "bytes_kept": self._bytes}

    def _gather(self, offset: int, interest: Interest, max_bytes: int) -> tuple[bytes, int]:
        frames: list[bytes] = []
        size = 0
        for at in range(offset - self.before, len(self._entries)):
            entry = self._entries[at]
            if interest.wants(entry):
                size += len(entry.frame)
                if frames and size > max_bytes:
                    return b"".join(frames), entry.offset - 1
                frames.append(entry.frame)
        return b"".join(frames), self.last

    def _shorten(self) -> None:
        gone = max(len(self._entries) - self._max_events, 0)
        size = self._bytes - sum(len(entry.frame) for entry in self._entries[:gone])
        while gone < len(self._entries) and size > self._max_bytes:
            size -= len(self._entries[gone].frame)
            gone += 1
        del self._entries[:gone]
        self._bytes = size
