"""A log line is whole, can always be made, and never costs a call."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import LogSettings
from patchbay.process import log as logs
from patchbay.process.log import MAX_LINE_BYTES, JsonFormatter, LineHandler, TextFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator

any_text = st.text(st.characters(exclude_categories=()), max_size=3000)


def record(message: str, level: int = logging.INFO, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"msg": message, "args": args, "levelno": level, "levelname": logging.getLevelName(level)}
    )
    made.__dict__.update(extra)
    return made


@given(
    any_text, st.dictionaries(st.text(max_size=200).map("x".__add__), any_text | st.integers() | st.none(), max_size=12)
)
def test_a_json_line_is_json_and_short_enough(message: str, extra: dict[str, object]) -> None:
    """Whatever peers put into it, lone surrogates too."""
    line = JsonFormatter("ingest.0").format(record(message, logging.INFO, **extra))
    assert len(line.encode()) < MAX_LINE_BYTES
    assert "\n" not in line
    said = orjson.loads(line)
    assert (said["actor"], said["level"]) == ("ingest.0", "info")


def test_what_a_json_line_says() -> None:
    """Fields of `extra`, the arguments put in, the exception's end."""
    made = record("%d streams", logging.WARNING, 3, call_control_id="v3:a", size=5)
    try:
        raise ValueError("why")
    except ValueError as error:
        made.exc_info = (ValueError, error, error.__traceback__)
    said = orjson.loads(JsonFormatter("ingest.0").format(made))
    assert said["message"] == "3 streams"
    assert said["level"] == "warning"
    assert (said["call_control_id"], said["size"]) == ("v3:a", 5)
    assert said["exception"].endswith("ValueError: why")
    assert said["time"].endswith("Z")


def test_what_a_text_line_says() -> None:
    """The same, for a person; a colour is ended."""
    line = TextFormatter("ingest.0").format(record("lost", logging.WARNING, call="a"))
    assert "ingest.0" in line
    assert "warning: lost  call=a" in line
    assert line.endswith("\x1b[0m")


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe in place of standard error; the reading end."""
    read, write = os.pipe()
    monkeypatch.setattr(logs, "STDERR", write)
    os.set_blocking(read, False)
    yield read
    os.close(read)
    os.close(write)


def test_one_line_each(stderr: int) -> None:
    """A long one is cut between characters."""
    handler = LineHandler()
    handler.setFormatter(TextFormatter("a"))
    handler.emit(record("short"))
    handler.emit(record("é" * 5000))
    lines = os.read(stderr, 100_000).decode().splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("é…")
    assert len(lines[1].encode()) < MAX_LINE_BYTES


def test_a_reader_that_hangs_does_not_hang_us(stderr: int) -> None:
    """Lines are lost, and counted; when it reads again it gets new ones."""
    handler = LineHandler()
    handler.setFormatter(TextFormatter("a"))
    for _ in range(200):
        handler.emit(record("x" * 2000))
    assert handler.lost > 0
    while True:
        try:
            os.read(stderr, 65536)
        except BlockingIOError:
            break
    handler.emit(record("again"))
    assert b"again" in os.read(stderr, 65536)


def test_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The actor outlives it."""
    read, write = os.pipe()
    monkeypatch.setattr(logs, "STDERR", write)
    handler = LineHandler()
    handler.setFormatter(TextFormatter("a"))
    os.close(read)
    handler.emit(record("nobody"))
    assert handler.lost == 1
    os.close(write)


def test_a_line_that_can_not_be_made_harms_nobody(stderr: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong arguments are our fault, not the call's end."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = LineHandler()
    handler.setFormatter(TextFormatter("a"))
    handler.emit(record("%d", logging.INFO, "three"))
    handler.emit(record("next"))
    assert b"next" in os.read(stderr, 1000)


@pytest.mark.parametrize(("given_format", "formatter"), [("json", JsonFormatter), ("text", TextFormatter)])
def test_as_configured(given_format: str, formatter: type[logging.Formatter]) -> None:
    """One handler, the level asked for."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure(LogSettings(level="warning", format=given_format), "ingest.0")  # type: ignore[arg-type]
        [handler] = root.handlers
        assert type(handler.formatter) is formatter
        assert root.level == logging.WARNING
    finally:
        root.handlers[:] = before
        root.setLevel(level)


NASTY = "\x1b]0;title\x07\x1b[2J\r\x08\x7f\x9b31m\x85\u2028\u2029\u202e\u2066\ufeff\x00"
FORGED = "x\n12:00:00.000 gateway.0      all is well"


@pytest.mark.parametrize("text", [NASTY, FORGED, "\ud83d", "\U000e0041"])
def test_nothing_that_peers_say_reaches_a_terminal(text: str) -> None:
    """Neither as the message, nor as a field, nor within an exception; and none of it begins a line."""
    made = record("said %s", logging.WARNING, text, peer=text)
    try:
        raise ValueError(text)
    except ValueError as error:
        made.exc_info = (ValueError, error, error.__traceback__)
    line = TextFormatter("ingest.0").format(made)
    first, *more = line.replace("\x1b[33m", "").replace("\x1b[0m", "").split("\n")
    assert first.isprintable()
    assert all(each.isprintable() and each.startswith("  ") for each in more)
    line = JsonFormatter("ingest.0").format(made)
    assert line.isprintable()
    assert orjson.loads(line)["message"] == f"said {text}".encode("utf-8", "replace").decode()


def test_what_python_says_is_a_line_too() -> None:
    """What ends a process, what can't be raised, and warnings."""
    code = (
        "import sys, warnings\n"
        "from patchbay.process import log\n"
        "from config.settings import LogSettings\n"
        "log.configure(LogSettings(), 'a')\n"
        "log.capture_python()\n"
        "class Bad:\n    def __del__(self): raise ValueError('x\\x1by')\n"
        "Bad()\n"
        "warnings.warn('careful\\nnow')\n"
        "raise RuntimeError('over\\x1b[2J')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert [each["level"] for each in said] == ["error", "warning", "critical"]
    assert said[-1]["exception"].endswith("RuntimeError: over\x1b[2J")
    assert "\x1b" not in done.stderr
