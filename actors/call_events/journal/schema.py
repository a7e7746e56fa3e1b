"""Defines the journal's tables, and migrates older files. The version of a file is SQLite's `user_version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

FLOODS, OTHERS, AUDIT = range(3)  # classes of events (column `room`); see `pruning`

# The n-th script migrates a file of version n to version n + 1. Scripts are added, and never changed.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        offset INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL,
        call TEXT,
        occurred_at TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        source TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE calls (
        call TEXT PRIMARY KEY,
        is_live INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE INDEX events_by_call ON events (call, offset) WHERE call IS NOT NULL;
    CREATE INDEX calls_live ON calls (call) WHERE is_live;
    CREATE INDEX calls_over ON calls (changed_at) WHERE NOT is_live;
    """,
    """
    ALTER TABLE events ADD COLUMN room INTEGER GENERATED ALWAYS AS (CASE
        WHEN type IN ('stream.dtmf', 'stream.mark', 'stream.error') THEN 0
        WHEN type IN ('listener.joined', 'listener.left', 'floor.taken', 'floor.released') THEN 2
        ELSE 1 END) VIRTUAL;
    CREATE INDEX events_by_room ON events (room, offset);
    CREATE INDEX events_by_share ON events (room, call, offset) WHERE call IS NOT NULL;
    """,
)
VERSION = len(MIGRATIONS)


class NewerSchema(Exception):
    """Reports a file of a later version of Patchbay, which this version could damage."""


def migrate(connection: sqlite3.Connection) -> int:
    """Migrate a file, also an empty one, to this version. Return its version before. Each step is a transaction.

    Raises:
        NewerSchema: the file is of a later version.
        sqlite3.Error: a step has failed.
    """
    found = version(connection)
    for step in range(version(connection), VERSION):
        _step(connection, step)
    return found


def version(connection: sqlite3.Connection) -> int:
    """Return the version of a file; 0: the file is empty. Raises NewerSchema."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > VERSION:
        raise NewerSchema(f"its version is {found}, and this Patchbay knows those up to {VERSION}")
    return found


def _step(connection: sqlite3.Connection, step: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version(connection) == step:  # otherwise another process has migrated the file
            for statement in filter(str.strip, MIGRATIONS[step].split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {step + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
