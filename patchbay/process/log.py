"""Log lines: JSON where a program reads them, text where a person does; the actor on every one.

What peers say can't end a line, nor speak to the terminal that shows one. An exception that ends the process, a warning, and what
Python has to say of an object that it lets go are lines, too.

A line is one write of at most 4 KiB, so that lines of several processes on one pipe never mix, and a reader that has
gone (honcho, killed) is not our end. Of one kind (a message before its arguments are put in) and one peer a minute has a few
lines, then one that counts the others (`throttle`).
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

import orjson
import trio

from config.printable import printable, printable_lines, safe_json
from patchbay.net.addresses import host_of
from patchbay.process.log_throttle import WINDOW_S, Allowed, Throttle
from patchbay.protocol.times import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from config.settings import LogSettings
    from patchbay.process.log_throttle import Withheld

MAX_LINE_BYTES: Final = 4096  # PIPE_BUF: up to here a write to a pipe is not torn
LIMITS: Final = (1000, 250, 50)  # characters of each field of a line that is too long otherwise
EXTRAS_MAX: Final = 8
STDERR: Final = 2
ORDINARY: Final = Allowed(by_peer=1_000, in_all=5_000)  # lines a minute of a kind, up to level `info`
WARNINGS: Final = Allowed(by_peer=20, in_all=200)
EXCEPTIONS: Final = Allowed(by_peer=5, in_all=20)  # a traceback is long
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


def take_over() -> None:
    """Have Python's own words in the log of this process: warnings, what ends it, and what can't be raised."""
    logging.captureWarnings(True)
    sys.excepthook = _ended
    sys.unraisablehook = _unraisable


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        logging.getLogger(__name__).warning("interrupted")
    else:
        logging.getLogger(__name__).critical("ended by a fault", exc_info=(kind, error, trace))


def _unraisable(about: sys.UnraisableHookArgs) -> None:
    what = about.err_msg or "exception ignored in"
    error = about.exc_value or about.exc_type()
    logging.getLogger(__name__).error(
        "%s %r", what, about.object, exc_info=(about.exc_type, error, about.exc_traceback)
    )


async def tell_rest() -> None:
    """Write what was withheld, once a minute, for ever: nothing else may happen that would."""
    while True:
        await trio.sleep(WINDOW_S)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, LineHandler):
                handler.tell_rest()


class LineHandler(logging.Handler):
    """Writes each record in one system call, and goes on when nobody reads any more.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.lost = 0  # lines that nobody would read
        self._clock = clock
        self._throttle = Throttle()
        self._room = select.poll()
        self._room.register(STDERR, select.POLLOUT)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record, or count it where a minute has had enough of its kind."""
        self.tell_rest()
        kind = (record.name, record.levelno, str(record.msg))
        host = _cause(vars(record))
        with self.lock or nullcontext():
            if not self._throttle.allow(kind, host, _allowed(record), self._clock()):
                self._throttle.withhold(kind, host, _message(record))
                return False
        return bool(super().handle(record))

    def tell_rest(self) -> None:
        """Write how many lines were withheld in the minute that is over."""
        with self.lock or nullcontext():
            for withheld in self._throttle.rest(self._clock()):
                self.emit(_rest_of(withheld))

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


def _cause(said: Mapping[str, object]) -> str:
    """Return who has caused a line: an address, else whose token it was, else a call."""
    if peer := said.get("peer"):
        return host_of(str(peer))
    return str(said.get("sub") or said.get("call_control_id") or "")


def _allowed(record: logging.LogRecord) -> Allowed:
    if record.exc_info:
        return EXCEPTIONS
    return WARNINGS if record.levelno >= logging.WARNING else ORDINARY


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # wrong arguments; `emit` says so of those that are written
        return str(record.msg)


def _rest_of(withheld: Withheld) -> logging.LogRecord:
    logger, level, _ = withheld.kind
    text = "%d more lines of this kind in the last minute, of %d peers; the last: %s"
    arguments = (withheld.count, len(withheld.hosts), withheld.last)
    return logging.LogRecord(logger or __name__, level, "", 0, text, arguments, None)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, actor: str) -> None:
        super().__init__()
        self._actor = actor

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": utc(record.created),
            "level": record.levelname.lower(),
            "actor": self._actor,
            "pid": record.process,
            "logger": record.name,
        }
        said = {"message": record.getMessage(), **_extra(record)}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)[-2500:]
        try:
            line = _dumps({**fields, **said})
        except TypeError:  # text that no encoding has
            line = ""
        for shorter in (*(partial(_shortened, said, limit) for limit in LIMITS), partial(_shortest, said)):
            if line and len(line.encode()) < MAX_LINE_BYTES:
                break
            line = _dumps({**fields, **shorter()})
        return line


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
        said = printable(f"{record.getMessage()}{extra}")
        line = f"{moment}.{int(record.msecs):03d} {self._actor:<13} {colour}{level}{said}"
        if colour:
            line += "\x1b[0m"
        if record.exc_info:
            line += "\n" + printable_lines(self.formatException(record.exc_info), indent="  ")
        return line


def _dumps(said: dict[str, object]) -> str:
    return safe_json(orjson.dumps(said, default=str, option=orjson.OPT_NON_STR_KEYS).decode())


def _shortened(said: dict[str, object], limit: int) -> dict[str, str]:
    """A whole line says less rather than being half a line: a program reads it."""
    names = list(said)[:EXTRAS_MAX]
    return {name[:100]: str(said[name])[-limit:].encode("utf-8", "replace").decode() for name in names}


def _shortest(said: dict[str, object]) -> dict[str, str]:
    return _shortened({"message": said["message"]}, LIMITS[-1])


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}
