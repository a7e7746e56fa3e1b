"""Log lines: JSON where a program reads them, text where a person does; the actor on every one.

A line is one write of at most 4 KiB, so that lines of several processes on one pipe never mix, and a reader that has
gone (honcho, killed) is not our end.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from config.settings import LogSettings

MAX_LINE_BYTES: Final = 4096  # PIPE_BUF: up to here a write to a pipe is not torn
LIMITS: Final = (1000, 250, 50)  # characters of each field of a line that is too long otherwise
EXTRAS_MAX: Final = 8
STDERR: Final = 2
# What logging itself puts on a record; whatever else is there came in by `extra=` and belongs on the line.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_COLOURS: Final = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m", "DEBUG": "\x1b[2m"}


def configure(settings: LogSettings, actor: str) -> None:
    """Send the log of this process to standard error."""
    as_text = settings.format == "text" or (
        settings.format == "auto" and sys.stderr is not None and sys.stderr.isatty()
    )
    handler = LineHandler()
    handler.setFormatter(TextFormatter(actor) if as_text else JsonFormatter(actor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())


class LineHandler(logging.Handler):
    """Writes each record in one system call, and goes on when nobody reads any more."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0  # lines that nobody would read
        self._room = select.poll()
        self._room.register(STDERR, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "replace")
        except Exception:  # our fault, but what was about to be logged must not fail for it
            self.handleError(record)
            return
        if len(line) >= MAX_LINE_BYTES:
            line = line[: MAX_LINE_BYTES - 4].decode("utf-8", "ignore").encode() + "…".encode()
        try:
            # The descriptor is not ours alone to make non-blocking. A reader that hangs must not make us hang.
            if self._room.poll(0):
                os.write(STDERR, line + b"\n")
                return
        except OSError:  # nobody reads any more: losing a line is better than losing a call
            pass
        self.lost += 1


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, actor: str) -> None:
        super().__init__()
        self._actor = actor

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "actor": self._actor,
            "pid": record.process,
            "logger": record.name,
        }
        said = {"message": record.getMessage(), **_extra(record)}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)[-2500:]
        try:
            line = orjson.dumps({**fields, **said}, default=str, option=orjson.OPT_NON_STR_KEYS)
        except TypeError:  # text that no encoding has
            line = b""
        for limit in LIMITS:
            if 0 < len(line) < MAX_LINE_BYTES:
                break
            line = orjson.dumps({**fields, **_shortened(said, limit)})
        return line.decode()


class TextFormatter(logging.Formatter):
    """`15:04:05.123 ingest.0 call started  call_control_id=…`"""

    def __init__(self, actor: str) -> None:
        super().__init__()
        self._actor = actor

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        colour = _COLOURS.get(record.levelname, "")
        level = f"{record.levelname.lower()}: " if colour else ""
        extra = "".join(f"  {key}={value}" for key, value in _extra(record).items())
        line = f"{moment}.{int(record.msecs):03d} {self._actor:<13} {colour}{level}{record.getMessage()}{extra}"
        if colour:
            line += "\x1b[0m"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _shortened(said: dict[str, object], limit: int) -> dict[str, str]:
    """A whole line says less rather than being half a line: a program reads it."""
    names = list(said)[:EXTRAS_MAX]
    return {name[:100]: str(said[name])[-limit:].encode("utf-8", "replace").decode() for name in names}


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


def _utc(created: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(created))}.{int(created % 1 * 1000):03d}Z"
