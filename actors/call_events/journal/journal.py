"""Keeps events in one SQLite file, as they were received and in the order of their commits.

Blocks; one thread at a time may use a journal. Errors of SQLite are raised as `sqlite3.Error`, and `store` handles
them. Two processes have the file open during a roll, so the offset of an event is chosen in the transaction that writes
the event.

A file that is not the one that was left here (`watermark`) gets a new epoch, and offsets that no client has had.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.call_events.entry import Entry, entry_of
from actors.call_events.events import parse
from actors.call_events.journal import schema
from actors.call_events.journal.call_table import CallTable
from actors.call_events.journal.interface import Commit, Page
from actors.call_events.journal.pruning import Pruned, PruningBySize, prune_old
from actors.call_events.journal.search import Search
from actors.call_events.journal.watermark import Watermark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from actors.call_events.calls.call_state import CallState
    from actors.call_events.entry import Interest
    from actors.call_events.events import Arrival

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 1000  # the wait for a commit of another process
CACHE_KIB = 8 * 1024


class Truncated(Exception):
    """Reports that the file has lost committed events."""


class Journal:
    """Reads and writes the journal's file, which it opens. The maker closes it.

    Attributes:
        epoch: names the journal; its offsets have no meaning in another journal.
        first_offset: offset of the first event of this epoch.

    Raises:
        sqlite3.Error: the file can't be opened, or is no journal.
        NewerSchema: a later version of Patchbay has written the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._watermark = Watermark(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000)
        self._calls = CallTable(self._db)
        self._by_size = PruningBySize(self._db, time.monotonic)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # a commit outlives the machine, not only the process
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        schema.migrate(db)
        if self._mismatch() is not None:
            with self._write_transaction():
                why = self._mismatch()  # another process may have done this meanwhile
                if why is not None:
                    self._take_over(why)
            self._watermark.write(self._meta()["epoch"], self._last_in_file())
        meta = self._meta()
        self.epoch: str = meta["epoch"]
        self.first_offset = int(meta["first_offset"])

    def _meta(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT key, value FROM meta").fetchall())

    def _mismatch(self) -> str | None:
        """Return why this file is not the one that was left here; see `Watermark.mismatch`."""
        meta = self._meta()
        return self._watermark.mismatch(meta.get("epoch"), meta.get("origin"), self._last_in_file())

    def _take_over(self, why: str) -> None:
        meta, now, left = self._meta(), time.time_ns(), self._watermark.read()
        named = {"origin": self._watermark.origin()}
        if why or "epoch" not in meta:
            # Offsets begin at µs since 1970: higher than those of earlier files, and exact in JavaScript.
            first = max(now // 1000, self._last_in_file() + 1, left.offset + 1 if left else 0)
            named |= {"epoch": str(now), "first_offset": str(first)}
        sql = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self._db.executemany(sql, named.items())
        if why:
            logger.warning("the journal is not the one that was left here (%s); epoch %s begins", why, named["epoch"])

    def _last_in_file(self) -> int:
        found = self._db.execute("SELECT max(offset) FROM events").fetchone()[0]
        return int(found) if found is not None else -1

    @property
    def last_offset(self) -> int:
        """Return the offset of the newest event; without events, the one before `first_offset`."""
        return max(self._last_in_file(), self.first_offset - 1)

    @property
    def oldest_offset(self) -> int:
        """Return the offset of the oldest event; without events, `first_offset`."""
        found = self._db.execute("SELECT min(offset) FROM events").fetchone()[0]
        return int(found) if found is not None else self.first_offset

    def commit(self, arrivals: Sequence[Arrival], known: int) -> Commit:
        """Write events to the disk, all or none. Events with a known id are not written again.

        Args:
            known: the offset up to which the caller has all events.

        Raises:
            Truncated: the file ends before `known`.
        """
        with self._write_transaction():
            offset = self.last_offset
            if offset < known:
                raise Truncated(f"it ends at offset {offset}, and had come to {known}")
            entries = self._between(known, offset) if offset > known else []
            states = self._calls.states(entry.call_control_id for entry in entries)
            taken = []
            for arrival in arrivals:
                taken.append(self._insert(arrival, offset + 1))
                if taken[-1]:
                    offset += 1
                    entries.append(entry_of(arrival.event, offset, self.epoch))
                    self._calls.merge(arrival.event, states)
            self._calls.write(states)
        if any(taken):
            self._watermark.write(self.epoch, offset)
        return Commit(entries, states, taken)

    def newer(self, known: int) -> Commit:
        """Return the events after an offset, which another process has committed."""
        with self.read_transaction():
            entries = self._between(known, self.last_offset)
            return Commit(entries, self._calls.states(entry.call_control_id for entry in entries), [])

    def newest(self, count: int) -> list[Entry]:
        """Return the last `count` events, oldest first."""
        last = self.last_offset
        return self._between(last - count, last)

    def page(self, interest: Interest, after: int, limit: int, max_bytes: int) -> Page:
        """Return wanted events after an offset, as many as are found in time: at most `limit`, and at most `max_bytes`,
        but at least one."""
        entries: list[Entry] = []
        size = 0
        with self.read_transaction():
            last, oldest = self.last_offset, self.oldest_offset
            search = Search(self._db, interest)
            for row in search.forwards(after, last, limit):
                entry = self._entry(*row)
                if entries and size + len(entry.frame) > max_bytes:
                    return Page(entries, entries[-1].offset, oldest)
                entries.append(entry)
                size += len(entry.frame)
        return Page(entries, search.upto, oldest)

    def latest(self, interest: Interest, limit: int) -> int:
        """Return the offset before the latest `limit` wanted events, or before as many as are found in time."""
        with self.read_transaction():
            found = Search(self._db, interest).backwards(self.last_offset, limit)
            return self.oldest_offset - 1 if found is None else found

    def live_calls(self) -> dict[str, CallState]:
        """Return the live calls."""
        return self._calls.live()

    def last_webhook_at(self) -> int | None:
        """Return when the last webhook was received, µs since 1970; None: not among the newest events."""
        sql = "SELECT received_at FROM events WHERE source = 'telnyx' AND offset > ? ORDER BY offset DESC LIMIT 1"
        found = self._db.execute(sql, (self.last_offset - 100_000,)).fetchone()
        return int(found[0]) if found else None

    def prune(self, *, before: int, max_bytes: int, fresh: int) -> tuple[int, Pruned]:
        """Delete some events (`pruning`). Return how many were too old, and how many were deleted by size.

        Args:
            before: events that were received before this time (µs since 1970) are too old.
            max_bytes: other events are deleted while the file has more bytes than that.
            fresh: events that were received after this time are deleted last.
        """
        with self._write_transaction():
            old, by_size = prune_old(self._db, before, self.last_offset), Pruned()
            if not old and self.used_bytes > max_bytes:
                by_size = self._by_size.step(self.last_offset, fresh)
            self._calls.prune(before)
        return old, by_size

    @property
    def used_bytes(self) -> int:
        """Return how many bytes of the file are in use. The file itself never shrinks."""
        pages, free, size = (int(self._db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size"))  # fmt: skip
        return (pages - free) * size

    def check(self) -> str | None:
        """Return the damage of the file; None: there is none. Reads the whole file."""
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        return None if found == "ok" else str(found)

    def copy_to(self, path: Path) -> None:
        """Copy the journal to a new file, which has the watermark from then on."""
        target = sqlite3.connect(path)
        try:
            self._db.backup(target)
            target.execute("UPDATE meta SET value = ? WHERE key = 'origin'", (self._watermark.origin(),))
            target.commit()
            self._watermark.write(self.epoch, self.last_offset)
        finally:
            target.close()

    def close(self) -> None:
        """Close the file. Harmless when repeated."""
        self._db.close()

    @contextmanager
    def read_transaction(self) -> Iterator[None]:
        """Read from one state of the file inside the block, whatever other processes write meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            if self._db.in_transaction:  # a damaged file ends the transaction
                self._db.execute("COMMIT")

    @contextmanager
    def _write_transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _insert(self, arrival: Arrival, offset: int) -> bool:
        event = arrival.event
        values = (offset, event.id, event.type, event.call_control_id, event.occurred_at, arrival.received_at)
        sql = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
        return self._db.execute(sql, (*values, arrival.source, arrival.body)).rowcount == 1

    def _between(self, after: int, upto: int) -> list[Entry]:
        sql = "SELECT offset, source, body, occurred_at FROM events WHERE offset > ? AND offset <= ? ORDER BY offset"
        return [self._entry(*row) for row in self._db.execute(sql, (after, upto))]

    def _entry(self, offset: int, source: str, body: bytes, occurred_at: str) -> Entry:
        event = parse("telnyx" if source == "telnyx" else "inside", body, received_at=occurred_at)
        return entry_of(event, offset, self.epoch)
