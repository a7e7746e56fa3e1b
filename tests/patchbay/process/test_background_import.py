"""Loading gives way, and what has been loaded does not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patchbay.process.background_import import NICENESS, load

if TYPE_CHECKING:
    from patchbay.process.background_import import Priority

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("priority", "expected"), [("idle", (os.SCHED_IDLE, 0)), ("low", (os.SCHED_OTHER, NICENESS))])
def test_only_the_thread_gives_way(priority: Priority, expected: tuple[int, int]) -> None:
    before = how_urgent()
    seen: list[tuple[int, int]] = []
    load(("colorsys",), priority, lambda: seen.append(how_urgent())).join()
    assert seen == [expected]
    assert how_urgent() == before
    assert "colorsys" in sys.modules


def how_urgent() -> tuple[int, int]:
    return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.slow
@pytest.mark.parametrize("beside", ["", "1"])
def test_an_actor_that_is_started_beside_another(beside: str) -> None:
    """It is as any other once it is loaded: here it ends, since its settings can't be used."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PATCHBAY_ACTOR_BESIDE": beside, "PATCHBAY_PORT": "no number"}
    done = subprocess.run(
        [sys.executable, "-m", "actors", "console"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 78, done.stderr
    assert done.stderr.startswith("console: ")
