"""`./run` and `./run demo` as a person uses them: from the first line to Ctrl-C; and several systems on a machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import orjson
import pytest
import trio

from tests.e2e.calls import call, new_call_id, recording, until_over
from tests.e2e.clients import client, listener
from tests.e2e.system import ROOT, System, eventually, new_system, running_system

IS_SET_UP = subprocess.run(["sh", "-c", ". ./deploy/setup.sh && is_set_up ."], cwd=ROOT, check=False).returncode == 0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_SET_UP, reason="needs a .venv made by ./test, or ./run would set it up now"),
]
RUN = str(ROOT / "run")
STOP_MAX_S = 5.0
DEMO_CALLS = ["v3:demo-1", "v3:demo-2", "v3:demo-3"]
BUSY_S = 10.0  # what a machine with better things to do may add
EX_USAGE, EX_UNAVAILABLE, EX_CONFIG = 64, 69, 78


def processes_of(system: System) -> list[str]:
    """The command lines of all processes that were given this system's run directory."""
    found = []
    for directory in Path("/proc").iterdir():
        try:
            if directory.name.isdigit() and os.fsencode(system.run_dir) in (directory / "environ").read_bytes():
                found.append((directory / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has gone, or is somebody else's
    return found


def press_ctrl_c(system: System) -> int:
    """The terminal's SIGINT goes to every process of the foreground group."""
    assert system.process is not None
    os.killpg(system.process.pid, signal.SIGINT)
    return system.process.wait(STOP_MAX_S + BUSY_S)


def assert_nothing_is_left(system: System) -> None:
    assert processes_of(system) == []
    assert not system.run_dir.exists() or list(system.run_dir.iterdir()) == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", system.port))


async def test_run_and_ctrl_c(fresh: System) -> None:
    """While a call is heard: everybody is told that the server goes, and nothing is left; exit status 0."""
    fresh.start(RUN)
    await trio.to_thread.run_sync(fresh.wait_ready)
    assert fresh.run_dir.stat().st_mode & 0o777 == 0o700
    call_id = new_call_id()
    async with (
        listener(fresh, call_id) as browser,
        client(fresh, "/call-events") as events,
        call(fresh, call_id, tracks={"inbound": recording().looped()}, reconnect=False) as running,
    ):
        await browser.until(lambda: len(browser.audio) >= 25)
        began = time.monotonic()
        assert await trio.to_thread.run_sync(press_ctrl_c, fresh) == 0, fresh.log()
        took_s = time.monotonic() - began
        for each in (browser, events):
            assert (await each.until_closed()).code == 1001
        await until_over(running)
        assert [ending.code for ending in running.endings] == [1001]
    assert took_s < STOP_MAX_S + BUSY_S
    assert_nothing_is_left(fresh)
    assert "Traceback" not in fresh.log()


@pytest.mark.parametrize("after_s", [0.1, 0.2, 0.4, 0.8])
async def test_ctrl_c_at_once(fresh: System, after_s: float) -> None:
    """Before anything is ready: it stops all the same."""
    fresh.start(RUN)
    await trio.sleep(after_s)
    assert await trio.to_thread.run_sync(press_ctrl_c, fresh) in (0, -signal.SIGINT), fresh.log()
    assert_nothing_is_left(fresh)


async def test_a_signal_to_the_script_alone(fresh: System) -> None:
    """As a service manager sends it; what it reads of the log is JSON, line by line."""
    fresh.start(RUN)
    await trio.to_thread.run_sync(fresh.wait_ready)
    assert await trio.to_thread.run_sync(fresh.stop) == 0
    said = [orjson.loads(line) for line in fresh.log().splitlines()]
    assert {"honcho", "supervisor", "gateway.0", "fanout.0"} <= {each["actor"] for each in said}
    assert_nothing_is_left(fresh)


async def test_demo(fresh: System) -> None:
    """Really gives calls, says where to look and listen, and they can be heard; Ctrl-C ends these too."""
    fresh.start(RUN, "demo")

    assert await until_demo_calls(fresh) == DEMO_CALLS
    for call_id in DEMO_CALLS:
        async with listener(fresh, call_id) as browser:
            await browser.until(lambda: len(browser.audio) >= 25)
    assert f"http://127.0.0.1:{fresh.port}/" in fresh.log()
    assert "-m simulator listen v3:demo-1" in fresh.log()
    assert await trio.to_thread.run_sync(press_ctrl_c, fresh) == 0, fresh.log()
    assert_nothing_is_left(fresh)
    assert "Traceback" not in fresh.log()


async def until_demo_calls(system: System) -> list[str]:
    """Wait until as many calls are live as the demo has; returns their ids."""

    async def calls() -> list[str]:
        try:
            found = await system.calls()
        except OSError:
            return []
        return sorted(found) if len(found) == len(DEMO_CALLS) else []

    return await eventually(calls, 60)


async def run_to_the_end(system: System, *command: str) -> int:
    """Start something that ends by itself; returns its exit status."""
    system.start(*command)
    assert system.process is not None
    return await trio.to_thread.run_sync(system.process.wait, 30.0)


async def test_a_busy_port(fresh: System) -> None:
    """Is said in words, with what to do about it."""
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        busy.bind(("127.0.0.1", fresh.port))
        busy.listen()
        assert await run_to_the_end(fresh, RUN) == EX_UNAVAILABLE
    assert f"port {fresh.port}" in fresh.log()
    assert "PATCHBAY_PORT" in fresh.log()
    assert "Traceback" not in fresh.log()


async def test_a_public_address_without_authentication(fresh: System) -> None:
    """Does not start, and says which settings are missing."""
    fresh.environ["PATCHBAY_HOST"] = "0.0.0.0"
    assert await run_to_the_end(fresh, RUN) == EX_CONFIG
    assert "PATCHBAY_AUTH__ENABLED" in fresh.log()
    assert_nothing_is_left(fresh)


async def test_settings_that_are_wrong(fresh: System) -> None:
    """All complaints at once."""
    fresh.environ |= {"PATCHBAY_PROT": "5006", "PATCHBAY_FANOUT__QUEUE_MS": "much"}
    assert await run_to_the_end(fresh, RUN) == EX_CONFIG
    assert "prot: unknown setting" in fresh.log()
    assert "fanout.queue_ms" in fresh.log()


async def test_wrong_usage(fresh: System) -> None:
    """64, and how it is meant."""
    assert await run_to_the_end(fresh, RUN, "dome") == EX_USAGE
    assert "usage: ./run [demo]" in fresh.log()


async def test_without_the_venv_module(fresh: System) -> None:
    """Debian's Python comes without it: say which package has it."""
    for name in ("run", "deploy/setup.sh", "pyproject.toml", "constraints.txt"):
        copy = fresh.home / "project" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    (fresh.home / "ensurepip.py").write_text("raise ImportError", encoding="utf-8")
    fresh.environ |= {
        "PYTHONPATH": str(fresh.home),
        "PATH": "/usr/bin:/bin",
        "PYTHON": str(ROOT / ".venv" / "bin" / "python"),
    }
    assert await run_to_the_end(fresh, str(fresh.home / "project" / "run")) == 1
    assert "apt install python3-venv" in fresh.log()


async def test_two_systems_side_by_side(patchbay: System) -> None:
    """Each with its own port and directories: what happens in one is not known in the other."""
    call_id, clip = new_call_id(), recording(frames=50, start=20)
    with running_system() as other:
        async with listener(patchbay, call_id) as here, listener(other, call_id) as there:
            async with call(other, call_id, tracks={"inbound": clip}) as running:
                await other.until_live(call_id)
                assert call_id not in await patchbay.calls()
                await until_over(running)
            await there.until_stop()
            assert there.audio == list(clip.frames)
            assert len(here.messages) == 1
        with new_system() as third:
            third.environ["PATCHBAY_RUN_DIR"] = other.environ["PATCHBAY_RUN_DIR"]
            third.start()
            assert third.process is not None
            assert third.process.wait(30) != 0  # that directory is taken
            assert "another supervisor" in third.log()
        assert (await other.get("/readyz"))[0] == 200
