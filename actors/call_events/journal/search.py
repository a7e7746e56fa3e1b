"""Searches events in the journal's file, a window of offsets at a time, so that no request reads for long. Blocks.

A search for rare events returns the events that were found in time, and the offset at which to continue.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from actors.call_events.entry import Interest

Row = tuple[int, str, bytes, str]

WINDOW: Final = 2_000  # offsets that are searched at once
WINDOW_OF_CALLS: Final = 50_000  # likewise, where an index finds the calls
TIME_S: Final = 0.05  # after which no further window is begun
TIME_BACKWARDS_S: Final = 0.1


class Search:
    """Searches for wanted events. Valid inside one transaction.

    Args:
        clock: monotonic, in seconds.

    Attributes:
        upto: all wanted events up to this offset were found.
    """

    def __init__(self, db: sqlite3.Connection, interest: Interest, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._where, self._values = condition(interest)
        self._is_empty = interest.calls is not None and not interest.calls
        self._window = WINDOW if interest.calls is None else WINDOW_OF_CALLS
        self._clock = clock
        self.upto = 0

    def forwards(self, after: int, last: int, limit: int) -> Iterator[Row]:
        """Yield at most `limit` events after an offset, oldest first."""
        self.upto, found = after, 0
        until = self._clock() + TIME_S
        columns = "offset, source, body, occurred_at"
        sql = f"SELECT {columns} FROM events WHERE offset BETWEEN ? AND ?{self._where} ORDER BY offset LIMIT ?"
        while self.upto < last and not self._is_empty:
            begin = self._one("SELECT min(offset) FROM events WHERE offset > ?", self.upto)
            end = last if begin is None else min(begin + self._window - 1, last)
            for row in self._db.execute(sql, (begin, end, *self._values, limit - found)):
                found += 1
                self.upto = row[0]
                yield row
            if found >= limit:
                return
            self.upto = end
            if self._clock() >= until:
                return
        self.upto = last

    def backwards(self, last: int, count: int) -> int | None:
        """Return the offset before the latest `count` wanted events, or before as many as were found in time.

        None: the journal has no more than `count` wanted events.
        """
        until = self._clock() + TIME_BACKWARDS_S
        left, before = count + 1, last + 1
        sql = f"SELECT offset FROM events WHERE offset BETWEEN ? AND ?{self._where} ORDER BY offset DESC LIMIT ?"
        while not self._is_empty:
            end = self._one("SELECT max(offset) FROM events WHERE offset < ?", before)
            if end is None:
                return None
            before = end - self._window + 1
            offsets = self._db.execute(sql, (before, end, *self._values, left)).fetchall()
            left -= len(offsets)
            if not left:
                return int(offsets[-1][0])
            if self._clock() >= until:
                return before - 1
        return None

    def _one(self, sql: str, value: int) -> int | None:
        found: Any = self._db.execute(sql, (value,)).fetchone()[0]
        return None if found is None else int(found)


def condition(interest: Interest) -> tuple[str, list[str]]:
    """Return the SQL of an interest, which is added to a WHERE, and the values of its parameters."""
    parts: list[str] = []
    values: list[str] = []
    if interest.calls is not None:
        parts.append(f"call IN ({_marks(interest.calls)})")
        values += sorted(interest.calls)
    if interest.types is not None:
        alternatives = [f"type IN ({_marks(interest.types)})"]
        values += sorted(interest.types)
        for prefix in interest.prefixes:
            alternatives.append(f"substr(type, 1, {len(prefix)}) = ?")
            values.append(prefix)
        parts.append(f"({' OR '.join(alternatives)})")
    return "".join(f" AND {part}" for part in parts), values


def _marks(values: frozenset[str]) -> str:
    return ", ".join("?" * len(values))
