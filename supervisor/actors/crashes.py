"""Crash reports: what is known of a process that ended without being asked, kept on disk, a bounded number."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from config.printable import printable, printable_lines
from patchbay.protocol.times import utc

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from supervisor.actors.process import Process
    from supervisor.commands.history import Entry

logger = logging.getLogger(__name__)

FOLDER = "crashes"
KEPT = 50  # reports; then the oldest goes
LINE_MAX_CHARS = 300
STACK_DUMP = "Fatal Python error:"


class CrashReports:
    """Writes to `data_dir/crashes`. A disk that does not take it costs the report, not the restart."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    def write(self, process: Process, why: str, transitions: Sequence[Entry]) -> Path | None:
        """Write a report and return where it is; None if it could not be written."""
        text = report(process, why, transitions, at=time.time())
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        path = self._folder / f"{stamp}-{process.instance}-{process.generation}.txt"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            for old in sorted(self._folder.glob("*.txt"))[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("crash report %s not written: %s", path, error)
            return None
        return path


def report(process: Process, why: str, transitions: Sequence[Entry], *, at: float) -> str:
    """Return the text of a report. Pure."""
    lines = [
        f"actor: {process.instance}",
        f"generation: {process.generation}",
        f"pid: {process.pid}",
        f"time: {utc(at)}",
        f"reason: {printable(why)}",
        f"its last status: {printable(process.status) or '-'}",
        f"its last figures: {process.progress or '-'}",
        "",
        "Last transitions:",
        *(f"  {utc(entry.at)}  {entry.before} → {entry.after}: {printable(entry.why)}" for entry in transitions),
        "",
        "Its last words (log lines, stack dump):",
        printable_lines(process.last_words().decode("utf-8", "replace")) or "-",
        "",
    ]
    return "\n".join(lines)


def last_line(process: Process) -> str:
    """Return the last line that a process wrote to its crash log or gave as its status; empty if there is none."""
    # A stack dump is for the report; the line before it says more.
    words = process.last_words().decode("utf-8", "replace").partition(STACK_DUMP)[0]
    told = [line.strip() for line in words.splitlines() if re.search(r"\w", line)]
    return printable(told[-1] if told else process.status)[:LINE_MAX_CHARS]
