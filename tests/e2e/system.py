"""A whole Patchbay for a test: the real supervisor and its actors, on a free port, in directories of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import trio

from tests.e2e.http_client import fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 6.0
POLL_S = 0.05


def free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class System:
    """A running system and how to reach it."""

    port: int
    home: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    log_path: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log_path = self.home / "log"

    def url(self, path: str) -> str:
        """A WebSocket URL."""
        return f"ws://127.0.0.1:{self.port}{path}"

    async def get(self, path: str) -> tuple[int, bytes]:
        """GET over HTTP."""
        return await fetch(self.port, path)

    async def json(self, path: str) -> Any:
        """GET and decode."""
        return orjson.loads((await self.get(path))[1])

    async def command(self, *words: str, check: bool = True) -> str:
        """Run `python -m supervisor …` as an operator would."""
        done = await trio.run_process(
            [sys.executable, "-m", "supervisor", *words],
            env=self.environ,
            cwd=str(ROOT),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode()

    async def actor(self, name: str, index: int = 0) -> dict[str, Any]:
        """One actor's entry of `status --json`."""
        status = orjson.loads(await self.command("status", "--json"))
        return next(entry for entry in status["actors"] if (entry["name"], entry["index"]) == (name, index))

    async def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Send an actor a signal; returns its process id."""
        pid = int((await self.actor(name))["pid"])
        os.kill(pid, how)
        return pid

    async def until_ready(self) -> None:
        """Wait until every actor is ready."""
        with trio.fail_after(READY_TIMEOUT_S):
            while True:
                try:
                    status, _ = await self.get("/readyz")
                except OSError:
                    status = 0
                if status == 200:
                    return
                await trio.sleep(POLL_S)

    def log(self) -> str:
        """What the system has logged."""
        return self.log_path.read_text(errors="replace")

    def stop(self) -> int:
        """Ask it to stop and wait for that; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)


@asynccontextmanager
async def running_system(**settings: str) -> AsyncIterator[System]:
    """Start a system, wait until it is ready, stop it in the end. Settings: `FANOUT__QUEUE_MS="400"` and the like."""
    home = Path(tempfile.mkdtemp(prefix="patchbay-test-"))
    port = free_port()
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PATCHBAY_")}
    environ |= {
        "PATCHBAY_PORT": str(port),
        "PATCHBAY_RUN_DIR": str(home / "run"),
        "PATCHBAY_DATA_DIR": str(home / "data"),
        **{f"PATCHBAY_{key}": value for key, value in settings.items()},
    }
    system = System(port, home, environ)
    with system.log_path.open("wb") as log:
        system.process = subprocess.Popen([sys.executable, "-m", "supervisor"], env=environ, cwd=ROOT, stdout=log, stderr=log)
    try:
        await system.until_ready()
        yield system
        if system.process.poll() is None:
            assert system.stop() == 0, system.log()
    except BaseException:
        sys.stderr.write(system.log()[-8000:])
        raise
    finally:
        if system.process.poll() is None:
            system.process.kill()
            system.process.wait()
        shutil.rmtree(home, ignore_errors=True)
