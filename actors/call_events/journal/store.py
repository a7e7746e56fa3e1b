"""Opens the journal's file, checks it, and replaces it when it is damaged.

Blocks; one thread at a time may use a store. Errors are raised as `Unavailable`, whose text is for the log. A damaged
file is renamed, never deleted, and a new one is begun. A file that was deleted while it was open is still complete in
this process, and is written again.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from actors.call_events.journal.interface import Unavailable
from actors.call_events.journal.journal import Journal, Truncated
from actors.call_events.journal.schema import NewerSchema

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
NAME = "journal.sqlite3"
SIBLINGS = ("-wal", "-shm")
CHECKED_AT_START_BYTES = 64 * 1024 * 1024  # a larger file is checked while it is in use
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it may not be written to",
    sqlite3.SQLITE_BUSY: "somebody else has locked it",
    sqlite3.SQLITE_LOCKED: "somebody else has locked it",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened",
    sqlite3.SQLITE_IOERR: "the disk fails",
}


class _Replaced(Exception):
    """Reports that the file was deleted or replaced while it was open."""


class _Damaged(Exception):
    """Reports that the file is damaged."""


class Store:
    """Holds the journal's file, and opens it when needed. The maker closes it.

    Attributes:
        generation: how often a file was opened. A new number may mean another file and another epoch.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self.generation = 0
        self._journal: Journal | None = None
        self._is_closed = False
        self._sizes: dict[Path, tuple[int, int]] = {}

    def use(self, work: Callable[[Journal], Answer]) -> Answer:
        """Call `work` with the open journal, and return its result. On return, its events are in the file at `path`.

        When the file is found to be damaged or replaced, `work` is called again with the next file.

        Raises:
            Unavailable: whether events were written is not known: try again later, with the same ids.
        """
        for _ in range(3):
            if self._is_closed:
                raise Unavailable("this process is stopping")
            try:
                return self._try(work)
            except _Damaged as error:
                self._set_aside(str(error))
            except _Replaced as error:
                self._restore(str(error))
        raise Unavailable("its file breaks again and again")

    def set_aside(self, why: str) -> None:
        """Rename the damaged file. The next use begins a new one."""
        self.release()
        self._set_aside(why)

    def close(self) -> None:
        """Close the file for good."""
        self._is_closed = True
        self.release()

    def release(self) -> None:
        """Close the file. The next use opens it again. Harmless when repeated."""
        journal, self._journal = self._journal, None
        self._sizes.clear()
        if journal is not None:
            with contextlib.suppress(sqlite3.Error):
                journal.close()

    def _try(self, work: Callable[[Journal], Answer]) -> Answer:
        try:
            journal = self._journal or self._open()
            self._check_files()
            answer = work(journal)
            self._check_files()
        except Truncated as error:
            raise _Damaged(str(error)) from error
        except sqlite3.Error as error:
            raise self._classify(error) from error
        except (NewerSchema, OSError) as error:
            self.release()
            raise Unavailable(str(error)) from error
        return answer

    def _open(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(self.path)
        try:
            if self.path.stat().st_size <= CHECKED_AT_START_BYTES and (fault := journal.check()) is not None:
                raise _Damaged(fault)
        except BaseException:
            journal.close()
            raise
        self._journal = journal
        self.generation += 1
        return journal

    def _check_files(self) -> None:
        """Check that the files are those that were opened, and are not shorter, since they never shrink."""
        for path in (self.path, self._sibling("-wal")):
            try:
                found = path.stat()
            except FileNotFoundError:
                if path in self._sizes:
                    raise _Replaced(f"{path} was deleted") from None
                continue
            inode, size = self._sizes.get(path, (found.st_ino, 0))
            if inode != found.st_ino:
                raise _Replaced(f"{path} was replaced")
            if found.st_size < size:
                raise _Damaged(f"{path} was cut from {size} to {found.st_size} bytes")
            self._sizes[path] = inode, found.st_size

    def _classify(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary code
        if code in DAMAGED:
            return _Damaged(str(error))
        if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL):
            self.release()  # the next use opens the file anew
        return Unavailable(f"{REASONS.get(code, 'SQLite fails')} ({error})")

    def _set_aside(self, why: str) -> None:
        self.release()
        target = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        try:
            self._move(target)
        except OSError as error:
            raise Unavailable(f"it is damaged ({why}) and can't be set aside: {error}") from error
        logger.error("the journal is damaged: %s; it was renamed to %s, and a new one is begun", why, target)

    def _restore(self, why: str) -> None:
        journal, copy = self._journal, self.path.with_name(f"{self.path.name}.copy-{time.time_ns()}")
        if journal is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            journal.copy_to(copy)
        except (sqlite3.Error, OSError) as error:
            copy.unlink(missing_ok=True)
            self._set_aside(f"{why}, and what is left can't be read: {error}")
            return
        self.release()  # now, since SQLite deletes files with the name of its log
        try:
            if self.path.exists():
                self._move(self.path.with_name(f"{self.path.name}.strange-{time.time_ns()}"))
            for suffix in SIBLINGS:
                self._sibling(suffix).unlink(missing_ok=True)
            copy.rename(self.path)
        except OSError as error:
            raise Unavailable(f"{why}; it can't be put back: {error}; its copy is {copy}") from error
        logger.error("the journal was not in its place: %s; written again, nothing is lost", why)

    def _move(self, target: Path) -> None:
        for suffix in ("", *SIBLINGS):
            with contextlib.suppress(FileNotFoundError):
                self._sibling(suffix).rename(f"{target}{suffix}")

    def _sibling(self, suffix: str) -> Path:
        return Path(f"{self.path}{suffix}")
