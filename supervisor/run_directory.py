"""The supervisor's part of the run directory: the lock, the note of what runs, and cleaning up.

The note (state.json) tells the next supervisor which processes may still be there if this one dies. Knows no trio.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from config.paths import ensure_run_dir

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

LOCK_NAME = "supervisor.lock"
STATE_NAME = "state.json"
NOTIFY_NAME = "notify.sock"
HELLO_NAME = "supervisor.sock"


class AlreadyRunningError(Exception):
    """Another supervisor has this run directory."""

    def __init__(self, run_dir: Path, pid: int | None) -> None:
        who = f" (pid {pid})" if pid else ""
        super().__init__(f"another supervisor{who} already runs with run_dir = {run_dir}")
        self.pid = pid


class ActorNote(msgspec.Struct, frozen=True):
    """One process as noted: a pid alone could be another's by now, pid and start time can't."""

    name: str
    index: int
    pid: int
    start_time: int  # clock ticks since boot, /proc/PID/stat
    generation: int

    @property
    def instance(self) -> str:
        return f"{self.name}.{self.index}"


class Note(msgspec.Struct, frozen=True):
    """What a supervisor leaves behind for the next."""

    supervisor: int
    boot_id: str
    made_run_dir: bool
    generations: dict[str, int]
    actors: tuple[ActorNote, ...]


@dataclass
class RunDir:
    """A run directory that is ours: nobody else has it while the lock's descriptor is open."""

    path: Path
    made: bool
    lock: int

    @classmethod
    def take(cls, path: Path) -> RunDir:
        """Make the directory if need be and lock it.

        Raises:
            RunDirError: it can't be used.
            AlreadyRunningError: another supervisor has it.
        """
        made = ensure_run_dir(path)
        return cls(path, made, _lock(path))

    def read_note(self) -> Note | None:
        """Return what the last supervisor left behind; None if it ended as it should, or that was before a boot."""
        note = _read_note(self.path)
        self.made = self.made or (note is not None and note.made_run_dir)
        return note if note is not None and note.boot_id == boot_id() else None

    def write_note(self, generations: dict[str, int], actors: Iterable[ActorNote]) -> None:
        """Replace the note, whole or not at all."""
        note = Note(os.getpid(), boot_id(), self.made, generations, tuple(actors))
        fresh = self.path / f"{STATE_NAME}.new"
        fresh.write_bytes(msgspec.json.encode(note))
        fresh.replace(self.path / STATE_NAME)

    def sweep(self, keep: Collection[str] = ()) -> None:
        """Remove the socket files that are nobody's any more."""
        with suppress(FileNotFoundError):  # the directory, or what was in it a moment ago
            for entry in self.path.iterdir():
                if entry.name not in keep and stat.S_ISSOCK(entry.lstat().st_mode):
                    entry.unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove all that is ours, the directory too if we made it, and let go of the lock."""
        self.sweep()
        for name in (STATE_NAME, f"{STATE_NAME}.new", LOCK_NAME):
            (self.path / name).unlink(missing_ok=True)
        if self.made:
            with suppress(OSError):  # somebody else's file is in it
                self.path.rmdir()
        os.close(self.lock)


def survivors(path: Path) -> list[ActorNote]:
    """Return the processes that a supervisor has left running in a run directory."""
    note = _read_note(path)
    if note is None or note.boot_id != boot_id():
        return []
    return [each for each in note.actors if start_time(each.pid) == each.start_time]


def _read_note(path: Path) -> Note | None:
    try:
        return msgspec.json.decode((path / STATE_NAME).read_bytes(), type=Note)
    except (OSError, msgspec.DecodeError):
        return None


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None if it is not there or has ended."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def lineage(pid: int) -> tuple[tuple[int, int], ...]:
    """Return a process, its parent and so on, as pids and start times, without the first process of all."""
    found = []
    while pid > 1 and (fields := _stat(pid)) is not None:
        found.append((pid, int(fields[19])))
        pid = int(fields[1])
    return tuple(found)


def lineage_of_starter() -> tuple[tuple[int, int], ...]:
    """Return those who have started this process."""
    return lineage(os.getppid())


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name before it may hold anything


def _lock(path: Path) -> int:
    """Lock, and make sure that what was locked is still the file there: the last holder removes it when it leaves."""
    while True:
        lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), (path / LOCK_NAME).stat()):
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
