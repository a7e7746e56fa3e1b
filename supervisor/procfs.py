"""Reads what the kernel says of processes: /proc/PID/stat, see proc(5)."""

from __future__ import annotations

import os
from pathlib import Path


def boot_id() -> str:
    """Return the id of this boot of the machine: pids and start times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None: it is not there, or it has ended."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def lineage(pid: int) -> tuple[tuple[int, int], ...]:
    """Return a process, its parent and so on as (pid, start time), without process 1."""
    found = []
    while pid > 1 and (fields := _stat(pid)) is not None:
        found.append((pid, int(fields[19])))
        pid = int(fields[1])
    return tuple(found)


def lineage_of_parent() -> tuple[tuple[int, int], ...]:
    """Return the lineage of the process that has started this one."""
    return lineage(os.getppid())


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third (the state) on; None: there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the second, the name, may hold spaces and brackets
