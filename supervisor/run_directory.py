"""Locks the run directory, keeps the state file in it, and removes what the supervisor has made there.

The state file (state.json) tells the next supervisor which processes may still run if this one dies. Knows no trio.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from config.paths import ensure_run_dir
from supervisor.procfs import boot_id, start_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

LOCK_FILE = "supervisor.lock"
STATE_FILE = "state.json"


class AlreadyRunningError(Exception):
    """Another supervisor has locked this run directory."""

    def __init__(self, run_dir: Path, pid: int | None) -> None:
        who = f" (pid {pid})" if pid else ""
        super().__init__(f"another supervisor{who} already runs with run_dir = {run_dir}")


class SavedProcess(msgspec.Struct, frozen=True):
    """Names one process for good: its pid may be another's by now, pid and start time together can't."""

    name: str
    index: int
    pid: int
    start_time: int  # clock ticks since boot, /proc/PID/stat
    generation: int

    @property
    def instance(self) -> str:
        return f"{self.name}.{self.index}"


class SavedState(msgspec.Struct, frozen=True):
    """Holds the content of the state file. A supervisor of another version reads it."""

    supervisor: int  # pid
    boot_id: str
    made_run_dir: bool
    generations: dict[str, int]
    actors: tuple[SavedProcess, ...]


@dataclass
class RunDir:
    """Holds the lock of a run directory: no other supervisor has it while the descriptor `lock` is open.

    Attributes:
        made: whether a supervisor has made the directory, and so removes it.
    """

    path: Path
    made: bool
    lock: int

    @classmethod
    def acquire(cls, path: Path) -> RunDir:
        """Make the directory if it is not there, and lock it.

        Raises:
            RunDirError: the directory can't be used.
            AlreadyRunningError: another supervisor has locked it.
        """
        made = ensure_run_dir(path)
        return cls(path, made, _lock(path))

    def read_state(self) -> SavedState | None:
        """Return what the supervisor before this one has saved; None: it ended in good order, or before this boot."""
        state = _read_state(self.path)
        self.made = self.made or (state is not None and state.made_run_dir)
        return state if state is not None and state.boot_id == boot_id() else None

    def write_state(self, generations: dict[str, int], actors: Iterable[SavedProcess]) -> None:
        """Replace the state file, whole or not at all."""
        state = SavedState(os.getpid(), boot_id(), self.made, generations, tuple(actors))
        fresh = self.path / f"{STATE_FILE}.new"
        fresh.write_bytes(msgspec.json.encode(state))
        fresh.replace(self.path / STATE_FILE)

    def remove_sockets(self, keep: Collection[str] = ()) -> None:
        """Remove the socket files but those named."""
        with suppress(FileNotFoundError):  # the directory, or a file that was in it a moment ago
            for entry in self.path.iterdir():
                if entry.name not in keep and stat.S_ISSOCK(entry.lstat().st_mode):
                    entry.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the supervisor's files, and the directory if a supervisor has made it; release the lock."""
        self.remove_sockets()
        for name in (STATE_FILE, f"{STATE_FILE}.new", LOCK_FILE):
            (self.path / name).unlink(missing_ok=True)
        if self.made:
            with suppress(OSError):  # a file of somebody else is in it
                self.path.rmdir()
        os.close(self.lock)


def surviving_processes(path: Path) -> list[SavedProcess]:
    """Return the processes in the state file of a run directory that still run."""
    state = _read_state(path)
    if state is None or state.boot_id != boot_id():
        return []
    return [each for each in state.actors if start_time(each.pid) == each.start_time]


def _read_state(path: Path) -> SavedState | None:
    try:
        return msgspec.json.decode((path / STATE_FILE).read_bytes(), type=SavedState)
    except (OSError, msgspec.DecodeError):
        return None


def _lock(path: Path) -> int:
    """Return the descriptor of the locked file; it is still the one in the directory, which its last holder removes."""
    while True:
        lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), (path / LOCK_FILE).stat()):
                os.ftruncate(lock, 0)
                os.pwrite(lock, b"%d\n" % os.getpid(), 0)
                return lock
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).strip()
            os.close(lock)
            raise AlreadyRunningError(path, int(holder) if holder.isdigit() else None) from None
        except FileNotFoundError:
            pass
        os.close(lock)
        ensure_run_dir(path)
