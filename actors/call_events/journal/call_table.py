"""Reads and writes the states of calls in the journal's file, inside the journal's transactions. Blocks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from actors.call_events.calls.call_state import CallState, merge, of_event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from actors.call_events.events import Event

KEPT_US = 86_400 * 1_000_000  # of an ended call: a late event must not make the call live again
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CallState).decode


class CallTable:
    """Reads and writes the table `calls` of one journal."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def live(self) -> dict[str, CallState]:
        """Return the live calls."""
        rows = self._db.execute("SELECT call, state FROM calls WHERE is_live")
        return {call: _decode(state) for call, state in rows}

    def states(self, calls: Iterable[str | None]) -> dict[str, CallState]:
        """Return the states of these calls. Unknown calls are left out."""
        sql = "SELECT state FROM calls WHERE call = ?"
        rows = ((call, self._db.execute(sql, (call,)).fetchone()) for call in set(calls) if call)
        return {call: _decode(row[0]) for call, row in rows if row}

    def merge(self, event: Event, states: dict[str, CallState]) -> None:
        """Merge an event into `states`. A state that is missing there is read first."""
        change = of_event(event)
        if change is None:
            return
        call = change.call_control_id
        if call not in states:
            states |= self.states([call])
        states[call] = merge(states[call], change) if call in states else change

    def write(self, states: dict[str, CallState]) -> None:
        """Write the states of these calls."""
        now = time.time_ns() // 1000
        rows = [(call, state.is_live, now, _encode(state)) for call, state in states.items()]
        sql = (
            "INSERT INTO calls VALUES (?, ?, ?, ?) ON CONFLICT (call) DO UPDATE"
            " SET is_live = excluded.is_live, changed_at = excluded.changed_at, state = excluded.state"
        )
        self._db.executemany(sql, rows)

    def prune(self, before: int) -> None:
        """Delete ended calls that have not changed since `before` (µs since 1970), nor within KEPT_US."""
        before = min(before, time.time_ns() // 1000 - KEPT_US)
        self._db.execute("DELETE FROM calls WHERE NOT is_live AND changed_at < ?", (before,))
