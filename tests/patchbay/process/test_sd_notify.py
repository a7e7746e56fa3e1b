"""Signs of life, as systemd's protocol has them; a supervisor that is away costs nothing."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from patchbay.process.sd_notify import Notifier, build, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio.testing import MockClock


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify.sock"))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def notifier(tmp_path: Path) -> Iterator[Notifier]:
    made = Notifier(str(tmp_path / "notify.sock"))
    yield made
    made.close()


@given(st.binary(max_size=200))
def test_whatever_comes_is_taken(datagram: bytes) -> None:
    assert all(key for key in parse(datagram))


def test_fields() -> None:
    assert parse(b"READY=1\nSTATUS=a=b\n\nrubbish\n=x") == {"READY": "1", "STATUS": "a=b"}


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,20}", fullmatch=True), st.from_regex(r"[^\n]*", fullmatch=True)))
def test_what_is_built_is_parsed(fields: dict[str, str]) -> None:
    assert parse(build(fields)) == fields if fields else build(fields) == b""


def test_lines(supervisor: socket.socket, notifier: Notifier) -> None:
    """One datagram each."""
    notifier.send(READY=1, STATUS="well")
    assert supervisor.recv(1000) == b"READY=1\nSTATUS=well"


def test_nobody_there(notifier: Notifier) -> None:
    """Neither an error nor a wait."""
    notifier.send(READY=1)
    Notifier(None).send(READY=1)


def test_one_that_does_not_read(supervisor: socket.socket, notifier: Notifier) -> None:
    """Its queue is full: later ones are lost."""
    for _ in range(5000):
        notifier.send(WATCHDOG=1)
    assert supervisor.recv(1000) == b"WATCHDOG=1"


async def test_beats(supervisor: socket.socket, notifier: Notifier, autojump_clock: MockClock) -> None:
    """Every second, with what was done and how late the loop was."""
    done = 0

    def progress() -> dict[str, int]:
        return {"X_FRAMES_IN": done}

    ready = trio.Event()
    ready.set()
    with trio.move_on_after(3.5):
        await notifier.beat(progress, ready)
    beats = []
    while True:
        try:
            beats.append(dict(line.split(b"=") for line in supervisor.recv(1000).split(b"\n")))
        except BlockingIOError:
            break
    assert len(beats) == 3
    assert all(beat[b"READY"] == b"1" for beat in beats)
    assert all(beat[b"WATCHDOG"] == b"1" and beat[b"X_FRAMES_IN"] == b"0" for beat in beats)
    assert all(float(beat[b"X_LAG_MS"]) < 1 for beat in beats)
