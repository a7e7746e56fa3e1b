"""A Patchbay to do harm to: started, asked and hurt from outside, as an operator or the kernel would."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from bench import cache
from bench.chaos.promises import SUPERVISOR
from bench.ports import reserved_port
from bench.servers import PATCHBAY_ENVIRON, ROOT, placed
from supervisor.commands.client import NoSupervisorError, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READY_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 8.0
POLL_S = 0.02
LAST_LOG = "chaos.log"  # in the cache directory: what the system of the last run had to say


class NotReadyError(Exception):
    """The system did not become ready in time; the text says what was not."""


class System:
    """A running system."""

    def __init__(self, home: Path, port: int, *, urgent: bool = False) -> None:
        self.home = home
        self._urgent = urgent
        self.port = port
        self.log = home / "log"
        given = {key: value for key, value in os.environ.items() if not key.startswith("PATCHBAY_")}
        ours = {key: value.format(home=home, port=self.port) for key, value in PATCHBAY_ENVIRON.items()}
        self._environ = given | ours | {"PYTHONPATH": str(ROOT)}
        self._supervisors: list[subprocess.Popen[bytes]] = []

    def start_supervisor(self) -> None:
        """As honcho would, also after the one before has died."""
        with self.log.open("ab") as log, placed(os.sched_getaffinity(0), urgent=self._urgent):
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor"],
                env=self._environ,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._supervisors.append(process)

    async def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Send the supervisor a request.

        Raises:
            NoSupervisorError: there is none.
        """
        return await trio.to_thread.run_sync(
            lambda: ask(self.home / "run", {"command": command, **request}, timeout_s=ANSWER_TIMEOUT_S)
        )

    async def pids(self) -> dict[str, int]:
        """The process of every actor, by `name.index`, and of the supervisor."""
        status = await self.ask("status")
        actors = {f"{entry['name']}.{entry['index']}": entry["pid"] for entry in status["actors"] if entry["pid"]}
        return {SUPERVISOR: status["supervisor"]["pid"], **actors}

    async def until_ready(self, gone: set[int] | None = None) -> float:
        """Wait until all actors are ready, in other processes than those that are `gone`; return how long it took.

        Raises:
            NotReadyError: it took too long.
        """
        began, state = trio.current_time(), "no supervisor"
        while trio.current_time() < began + READY_TIMEOUT_S:
            with suppress(NoSupervisorError, OSError):
                status = await self.ask("status")
                state = " ".join(f"{entry['name']}:{entry['state']}" for entry in status["actors"])
                pids = {status["supervisor"]["pid"], *(entry["pid"] for entry in status["actors"])}
                ready = all(entry["state"] == "READY" for entry in status["actors"]) and status["actors"]
                if ready and not pids & (gone or set()):
                    return trio.current_time() - began
            await trio.sleep(POLL_S)
        raise NotReadyError(f"not ready after {READY_TIMEOUT_S:.0f} s: {state}")

    async def signal(self, how: signal.Signals, names: tuple[str, ...]) -> set[int]:
        """Send a signal to processes, all at the same moment; return their ids. A killed supervisor is started
        again."""
        known = await self.pids()
        pids = {known[name] for name in names}
        for pid in pids:
            os.kill(pid, how)
        if SUPERVISOR in names and how is signal.SIGKILL:
            await trio.to_thread.run_sync(self._supervisors[-1].wait)
            self.start_supervisor()
        return pids

    async def roll(self, name: str) -> set[int]:
        """Replace an actor, or the supervisor, in order; returns the processes that are gone.

        Raises:
            NotReadyError: the supervisor says it could not.
        """
        if name == SUPERVISOR:
            return await self._replace()
        before = (await self.pids())[name]
        answer = await self.ask("roll", name=name)
        if not answer["ok"]:
            raise NotReadyError(f"roll {name}: {answer}")
        return {before}

    async def _replace(self) -> set[int]:
        answer = await self.ask("replace")
        with trio.fail_after(READY_TIMEOUT_S):
            while True:
                with suppress(NoSupervisorError, OSError):
                    if (await self.ask("status"))["supervisor"]["replaced"] > answer["replaced"]:
                        return set()
                await trio.sleep(POLL_S)

    def stop(self) -> None:
        """Stop everything, whatever state it is in."""
        current = self._supervisors[-1]
        current.send_signal(signal.SIGTERM)
        try:
            current.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            current.kill()
            current.wait()


@asynccontextmanager
async def running(*, urgent: bool = False) -> AsyncIterator[System]:
    """Start a system, wait until it is ready; it is stopped at the end."""
    home = Path(tempfile.mkdtemp(prefix="patchbay-chaos-"))
    with reserved_port() as port:
        system = System(home, port, urgent=urgent)
        system.start_supervisor()
        try:
            await system.until_ready()
            yield system
        finally:
            system.stop()
            shutil.copy(system.log, cache.directory() / LAST_LOG)
            shutil.rmtree(home, ignore_errors=True)
