"""The console script `patchbay` as an operator uses it: run, ask, replace, stop; and the demo until Ctrl-C."""

from __future__ import annotations

import json
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.clients import listener
from tests.e2e.system import eventually
from tests.e2e.test_run import (
    DEMO_CALLS,
    EX_UNAVAILABLE,
    assert_nothing_is_left,
    press_ctrl_c,
    run_to_the_end,
    until_demo_calls,
)

if TYPE_CHECKING:
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
PATCHBAY = str(Path(sys.executable).with_name("patchbay"))


async def patchbay(system: System, *words: str) -> str:
    """Run `patchbay …`, which must succeed; returns its output."""
    done = await trio.run_process([PATCHBAY, *words], env=system.environ, capture_stdout=True)
    return done.stdout.decode()


async def test_run_ask_replace_and_stop(fresh: System) -> None:
    """The supervisor replaces its program though the command line has a command, and `stop` ends it with status 0."""
    fresh.start(PATCHBAY, "run")
    await trio.to_thread.run_sync(fresh.wait_ready)
    assert fresh.process is not None
    assert "gateway.0" in await patchbay(fresh, "status")
    assert (await patchbay(fresh, "roll", "supervisor")).startswith("supervisor: replaced in ")
    await patchbay(fresh, "wait-ready")
    supervisor = json.loads(await patchbay(fresh, "status", "--json"))["supervisor"]
    assert (supervisor["pid"], supervisor["replaced"]) == (fresh.process.pid, 1)
    assert await patchbay(fresh, "stop") == "everything is stopped\n"
    assert await trio.to_thread.run_sync(fresh.process.wait, 10.0) == 0
    assert_nothing_is_left(fresh)
    assert "Traceback" not in fresh.log()


async def test_demo(fresh: System) -> None:
    """Its calls can be heard; Ctrl-C ends calls and supervisor, with status 0."""
    fresh.start(PATCHBAY, "demo")

    assert await until_demo_calls(fresh) == DEMO_CALLS
    async with listener(fresh, "v3:demo-1") as browser:
        await browser.until(lambda: len(browser.audio) >= 25)
    assert await trio.to_thread.run_sync(press_ctrl_c, fresh) == 0, fresh.log()
    assert_nothing_is_left(fresh)
    assert "Traceback" not in fresh.log()


async def test_a_demo_is_stopped_before_it_is_ready(fresh: System) -> None:
    """By SIGTERM, as soon as the supervisor has locked its run directory."""
    fresh.start(PATCHBAY, "demo")

    async def has_locked() -> bool:
        return (fresh.run_dir / "supervisor.lock").exists()

    await eventually(has_locked)
    assert await trio.to_thread.run_sync(fresh.stop, signal.SIGTERM) == 0, fresh.log()
    assert_nothing_is_left(fresh)


async def test_a_demo_that_can_not_start(fresh: System) -> None:
    """The status is the supervisor's, and no call is left."""
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as whoever reserves the port does
        busy.bind(("127.0.0.1", fresh.port))
        busy.listen()
        assert await run_to_the_end(fresh, PATCHBAY, "demo") == EX_UNAVAILABLE
        assert f"port {fresh.port}" in fresh.log()
    assert_nothing_is_left(fresh)
