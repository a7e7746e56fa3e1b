"""A whole Patchbay for tests: the real supervisor and its actors, on a free port, in directories of its own."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import trio

from bench.ports import reserved_port
from supervisor.commands import client
from tests.e2e.http_client import fetch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

Answer = TypeVar("Answer")
ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 90.0  # it takes about one; a busy machine has made it 26
STOP_TIMEOUT_S = 60.0  # that it takes at most 5 s is test_run.py's to show
POLL_S = 0.05
ACTORS = ("gateway", "ingest", "fanout", "call_events", "console")


async def eventually(ask: Callable[[], Awaitable[Answer]], timeout_s: float = READY_TIMEOUT_S) -> Answer:
    """Ask again and again until the answer is true, for what nobody tells of; returns it."""
    deadline = trio.current_time() + timeout_s
    while True:
        if answer := await ask():
            return answer
        assert trio.current_time() < deadline, f"not within {timeout_s:g} s"
        await trio.sleep(POLL_S)


@dataclass
class System:
    """A system and how to reach it."""

    port: int
    home: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def run_dir(self) -> Path:
        return self.home / "run"

    @property
    def log_path(self) -> Path:
        return self.home / "log"

    def url(self, path: str) -> str:
        """A WebSocket URL."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def http_url(self, path: str) -> str:
        """An HTTP URL."""
        return f"http://127.0.0.1:{self.port}{path}"

    def log(self) -> str:
        """What the system has logged."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # ---- from trio

    async def get(self, path: str) -> tuple[int, bytes]:
        """GET over HTTP."""
        return await fetch(self.port, path)

    async def post(self, path: str, body: bytes, content_type: str = "application/json") -> tuple[int, bytes]:
        """POST over HTTP."""
        return await fetch(self.port, path, method="POST", headers=f"Content-Type: {content_type}\r\n", body=body)

    async def json(self, path: str) -> Any:
        """GET and decode."""
        return orjson.loads((await self.get(path))[1])

    async def calls(self) -> dict[str, dict[str, Any]]:
        """The live calls as the console tells them, by id."""
        return {call["call_control_id"]: call for call in (await self.json("/api/calls"))["calls"]}

    async def until_live(self, call_control_id: str) -> dict[str, Any]:
        """Wait until a call is told of; returns what is told."""
        return await eventually(lambda: self._call(call_control_id))

    async def _call(self, call_control_id: str) -> dict[str, Any]:
        return (await self.calls()).get(call_control_id, {})

    async def until_no_call(self) -> None:
        """Wait until the calls of earlier tests have ended everywhere."""
        await eventually(self._has_no_call)

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

    async def supervision(self) -> dict[str, Any]:
        """What the supervisor says to `status`, asked without the price of a command line: many a test asks in a loop.

        Raises:
            NoSupervisorError: nobody is there to answer.
        """
        return await trio.to_thread.run_sync(
            lambda: client.ask(self.run_dir, {"command": "status"}, timeout_s=READY_TIMEOUT_S)
        )

    async def actors(self) -> list[dict[str, Any]]:
        """What the supervisor says of the actors."""
        found: list[dict[str, Any]] = (await self.supervision())["actors"]
        return found

    async def actor(self, name: str) -> dict[str, Any]:
        """What the supervisor says of one actor."""
        return next(entry for entry in await self.actors() if entry["name"] == name)

    async def until_ready(self) -> None:
        """Wait until `/readyz` says so."""
        await eventually(self._is_ready)

    async def _is_ready(self) -> bool:
        try:
            return (await self.get("/readyz"))[0] == 200
        except OSError:
            return False

    async def _has_no_call(self) -> bool:
        return not await self.calls()

    # ---- for fixtures

    def start(self, *command: str) -> None:
        """Start it: the supervisor, or another command."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command or [sys.executable, "-m", "supervisor"],
                env=self.environ,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """The same as `until_ready`, outside of trio."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self.status() != 200:
            assert self.process is None or self.process.poll() is None, f"it ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"not ready in time:\n{self.log()}"
            time.sleep(POLL_S)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and wait for that; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(STOP_TIMEOUT_S)

    def status(self) -> int:
        """What `/readyz` answers; 0 when nobody does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()


@contextmanager
def new_system(**settings: str) -> Iterator[System]:
    """A system that is not started yet. Settings: `FANOUT__QUEUE_MS="400"` and the like. Nothing of it is left
    after."""
    with reserved_port() as port, TemporaryDirectory(prefix="patchbay-test-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PATCHBAY_")}
        environ |= {
            "PATCHBAY_PORT": str(port),
            "PATCHBAY_RUN_DIR": str(home / "run"),
            "PATCHBAY_DATA_DIR": str(home / "data"),
            "PATCHBAY_INGEST__PROCESSES": "1",  # whatever the machine has
            "PATCHBAY_FANOUT__PROCESSES": "1",
            "PATCHBAY_SUPERVISOR__SPARES": "0",  # else loading them is most of what the tests do
            **{f"PATCHBAY_{key}": value for key, value in settings.items()},
        }
        system = System(port, home, environ)
        try:
            yield system
        finally:
            if system.process is not None and system.process.poll() is None:
                system.process.kill()  # the actors follow: their life line has ended, and nobody adopts them
                system.process.wait()


@contextmanager
def running_system(**settings: str) -> Iterator[System]:
    """A system that is ready; it must stop in good order in the end."""
    with new_system(**settings) as system:
        system.start()
        system.wait_ready()
        yield system
        assert system.process is not None
        if system.process.poll() is None:
            assert system.stop() == 0, system.log()
