"""A real supervisor with fake actors, in a process of its own, and how tests talk to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.ports import reserved_port
from supervisor.commands import client
from supervisor.commands.client import NoSupervisorError
from supervisor.procfs import start_time

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = str(Path(__file__).with_name("fake_supervisor.py"))
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0  # a second is plenty, but on a machine with better things to do


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something that another process does, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"in vain: {what}")


class Running:
    """One run directory and the supervisors in it, one after another."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.run_dir = directory / "run"
        self._reserved = ExitStack()
        self.port = self._reserved.enter_context(reserved_port())
        self.ways = directory / "ways"
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PATCHBAY_")},
            "PYTHONPATH": str(ROOT),
            "PATCHBAY_RUN_DIR": str(self.run_dir),
            "PATCHBAY_DATA_DIR": str(directory / "data"),
            "PATCHBAY_PORT": str(self.port),
            "PATCHBAY_SUPERVISOR__SPARES": "0",
            "FAKE_ACTOR_FILE": str(self.ways),
            **{f"PATCHBAY_{key.upper()}": value for key, value in settings.items()},
        }
        self.started: list[subprocess.Popen[str]] = []
        self.seen: set[int] = set()

    def start(self, *, ready: bool = True) -> subprocess.Popen[str]:
        """Start a supervisor; once it is ready, unless that is not to be expected."""
        process = self.open()
        if ready:
            until(self.answers, "the supervisor answers")
            assert self.ask("wait-ready", timeout_s=PATIENCE_S)["ok"]
        return process

    def open(self, *words: str, **how: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, PROGRAM, *words],
            env=self.environ,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how},
        )
        self.started.append(process)
        return process

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Carry out a command line."""
        return subprocess.run(
            [sys.executable, PROGRAM, *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 2,
            check=False,
        )

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        return client.ask(self.run_dir, {"command": command, **request}, timeout_s=PATIENCE_S * 2)

    def answers(self) -> bool:
        with suppress(NoSupervisorError):
            return bool(self.ask("status")["ok"])
        return False

    def is_led_by(self, pid: int) -> bool:
        """Whether this one answers: in one question, since another that hands over goes after any answer."""
        with suppress(NoSupervisorError):
            return bool(self.supervisor()["pid"] == pid)
        return False

    def supervisor(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("status")["supervisor"]
        return found

    def actors(self) -> dict[str, dict[str, Any]]:
        rows = self.ask("status")["actors"]
        self.seen |= {row["pid"] for row in rows if row["pid"]}
        return {f"{row['name']}.{row['index']}": row for row in rows}

    def actor(self, instance: str) -> dict[str, Any]:
        return self.actors()[instance]

    def until_ready(self, instance: str, **expected: Any) -> dict[str, Any]:
        def is_so() -> dict[str, Any] | None:
            row = self.actor(instance)
            wanted = {"state": "READY", **expected}
            return row if all(row[key] == value for key, value in wanted.items()) else None

        found: dict[str, Any] = until(is_so, f"{instance} is {expected}")
        return found

    def kill(self, instance: str) -> None:
        os.kill(self.actor(instance)["pid"], signal.SIGKILL)

    def stop(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """Have it stopped and see that nothing is left; return what it wrote."""
        with suppress(NoSupervisorError):
            self.actors()
        process.send_signal(signal.SIGTERM)
        written = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, written
        self.nothing_is_left()
        return written

    def nothing_is_left(self) -> None:
        assert not self.run_dir.exists(), list(self.run_dir.iterdir())
        for pid in self.seen:
            assert start_time(pid) is None  # a zombie is gone, too: not ours, and whose it is takes his time
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", self.port)) != 0

    def reports(self) -> list[str]:
        folder = self.directory / "data" / "crashes"
        return [path.read_text() for path in sorted(folder.glob("*.txt"))]

    def clean_up(self) -> None:
        """End all that a failed test may have left."""
        for process in self.started:
            if process.poll() is None:
                with suppress(NoSupervisorError, OSError):
                    self.actors()
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        for pid in self.seen:
            with suppress(ProcessLookupError):
                if b"fake_actor" in cmdline(pid):
                    os.kill(pid, signal.SIGKILL)
        self._reserved.close()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def cmdline(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
