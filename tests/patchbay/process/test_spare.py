"""A spare process by itself: loads, waits, and goes when nobody is there to tell it anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patchbay.process.spare import LOADED
from tests.supervisor.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0
ROOT = Path(__file__).parents[3]


class Spare:
    """One, and our end of the link to it."""

    def __init__(self) -> None:
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.settimeout(PATIENCE_S)
        with theirs:
            command = [sys.executable, "-m", "patchbay.process.spare", str(theirs.fileno())]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])


@pytest.fixture
def spare() -> Iterator[Spare]:
    made = Spare()
    yield made
    made.link.close()
    made.process.kill()
    made.process.wait()


def threads(spare: Spare) -> list[int]:
    return [int(each.name) for each in Path(f"/proc/{spare.process.pid}/task").iterdir()]


@pytest.mark.slow
def test_loaded_it_is_as_urgent_as_any_other(spare: Spare) -> None:
    """What gave way was a thread of it, and that has ended."""
    assert spare.link.recv(64) == LOADED
    until(lambda: len(threads(spare)) == 1, "the thread has ended")
    [only] = threads(spare)
    assert os.sched_getscheduler(only) == os.SCHED_OTHER


@pytest.mark.slow
@pytest.mark.parametrize("when", ["loading", "unheard", "loaded"])
def test_it_goes_with_the_link(spare: Spare, when: str) -> None:
    if when != "loading":
        assert spare.link.recv(64, socket.MSG_PEEK if when == "unheard" else 0) == LOADED
    spare.link.close()
    assert spare.process.wait(PATIENCE_S) == 0


@pytest.mark.slow
def test_a_program_that_can_not_be_loaded(tmp_path: Path) -> None:
    """Ends, with a reason: one that waited for ever would be of no use, and nobody would know."""
    (tmp_path / "trio.py").write_text("raise ImportError('no such luck')\n")
    link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with link, theirs:
        command = [sys.executable, "-m", "patchbay.process.spare", str(theirs.fileno())]
        environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
        done = subprocess.run(
            command,
            pass_fds=[theirs.fileno()],
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 1
    assert "no such luck" in done.stderr
