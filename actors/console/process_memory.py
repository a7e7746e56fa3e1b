"""Reads how much memory a process has to itself, as the kernel counts it."""

from __future__ import annotations

import resource
from pathlib import Path

PAGE_BYTES = resource.getpagesize()


def own_bytes(pid: object) -> int | None:
    """Return the resident memory without shared pages (files, mostly); None where there is no such process."""
    if not isinstance(pid, int):
        return None
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return None
    return (int(resident) - int(shared)) * PAGE_BYTES
