"""Deletes events from the journal: old events, and while the file is too large, others by their class.

The classes (column `room`) are floods (keys, marks, errors: a peer can cause any number), audit (who heard and who
spoke), and others. A call with more than its share of a class loses the surplus first, so that a flood costs its own
call only. Then the oldest floods are deleted, the oldest others, and the oldest audit. The newest event always stays,
since the next offset follows it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from actors.call_events.journal.schema import AUDIT, FLOODS, OTHERS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

STEP: Final = 500  # events that are deleted at once by age
STEP_BY_SIZE: Final = 2000  # events that are deleted at once by size
SHARES: Final = {FLOODS: 100, OTHERS: 1000, AUDIT: 5000}  # events of one call, by room
SHARES_INTERVAL_S: Final = 10.0  # between checks of the shares, which read all events

Pruned = Counter[tuple[str | None, str]]  # number of deleted events, by call and type


def prune_old(db: sqlite3.Connection, before: int, last: int) -> int:
    """Delete events that were received before a time (µs since 1970). Return how many.

    Args:
        last: offset of the newest event, which stays.
    """
    rows = db.execute(
        "SELECT offset, received_at FROM events WHERE offset < ? ORDER BY offset LIMIT ?", (last, STEP)
    ).fetchall()
    doomed = next((at for at, (_, received_at) in enumerate(rows) if received_at >= before), len(rows))
    if doomed:
        db.execute("DELETE FROM events WHERE offset <= ?", (rows[doomed - 1][0],))
    return doomed


class PruningBySize:
    """Deletes events while the file is too large. `clock`: monotonic, in seconds."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._db = db
        self._clock = clock
        self._checked_until = float("-inf")  # no check of the shares before

    def step(self, last: int, fresh: int) -> Pruned:
        """Delete some events before the last one. Events of class OTHERS that were received after `fresh` come last."""
        now = self._clock()
        if now >= self._checked_until:
            if pruned := self._over_share(last):
                return pruned
            self._checked_until = now + SHARES_INTERVAL_S
        anything = 2**63 - 1
        for room, before in ((FLOODS, anything), (OTHERS, fresh), (AUDIT, anything), (OTHERS, anything)):
            if pruned := self._oldest(room, last, before):
                return pruned
        return Counter()

    def _over_share(self, last: int) -> Pruned:
        sql = "SELECT call, count(*) FROM events WHERE room = ? AND call IS NOT NULL GROUP BY call ORDER BY 2 DESC LIMIT 1"
        for room, share in SHARES.items():
            found = self._db.execute(sql, (room,)).fetchone()
            if found is not None and found[1] > share:
                mine = "SELECT offset FROM events WHERE room = ? AND call = ? AND offset < ? ORDER BY offset LIMIT ?"
                return self._delete(mine, (room, found[0], last, min(found[1] - share, STEP_BY_SIZE)))
        return Counter()

    def _oldest(self, room: int, last: int, before: int) -> Pruned:
        sql = (
            "SELECT offset FROM (SELECT offset, received_at FROM events WHERE room = ? AND offset < ?"
            " ORDER BY offset LIMIT ?) WHERE received_at < ?"
        )
        return self._delete(sql, (room, last, STEP_BY_SIZE, before))

    def _delete(self, which: str, values: tuple[object, ...]) -> Pruned:
        rows = self._db.execute(f"DELETE FROM events WHERE offset IN ({which}) RETURNING call, type", values)
        return Counter((call, kind) for call, kind in rows.fetchall())
