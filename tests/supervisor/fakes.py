"""Processes that are none, for tests of what is decided about processes."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import trio

from supervisor.actors.crashes import CrashReports
from supervisor.actors.exits import Exit
from supervisor.actors.life import Shared
from supervisor.actors.policy import Limits
from supervisor.actors.process import Process
from supervisor.configuration.specs import ActorSpec
from supervisor.history import History

LIMITS = Limits(first_s=0.1, max_s=30.0, reset_s=1.0, intensity=5, period_s=30.0)
SPEC = ActorSpec("fanout", 0, command=("nothing",))


def descriptors() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


def open_descriptors() -> int:
    """Return how many descriptors this process has."""
    gc.collect()  # what earlier tests left behind
    return len(descriptors())


class FakeProcess(Process):
    """Ends when it is told to, or does not."""

    def __init__(self, spec: ActorSpec, generation: int, *, ready: bool, obedient: bool) -> None:
        super().__init__(spec.instance, generation, 1000 + generation, started_at=trio.current_time())
        self.obedient = obedient
        self.signals: list[int] = []
        self.closed = False
        self.words = b""
        self.beside = False  # it was started while another ran
        self._ended = trio.Event()
        if ready:
            self.ready.set()

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL:
            self.end(Exit(signal=number))
        elif self.obedient and number == signal.SIGTERM:
            self.end(Exit(code=0))
        elif self.obedient and number == signal.SIGABRT:
            self.end(Exit(signal=number))

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def end(self, ended: Exit) -> None:
        if self.exit is None:
            self.exit = ended
            self._ended.set()

    async def wait(self) -> Exit:
        await self._ended.wait()
        assert self.exit is not None
        return self.exit

    def crash_log_tail(self) -> bytes:
        return self.words

    def close(self) -> None:
        self.closed = True


class FakeLauncher:
    """Starts fakes: `next_ones` says how each that follows is, the last of them all that come after."""

    def __init__(self) -> None:
        self.started: list[FakeProcess] = []
        self.next_ones: list[dict[str, bool]] = [{}]
        self.broken = False

    def start(self, spec: ActorSpec, generation: int, *, beside: bool = False, use_spare: bool = False) -> FakeProcess:
        if self.broken:
            raise FileNotFoundError(2, "No such file or directory")
        how = self.next_ones.pop(0) if len(self.next_ones) > 1 else self.next_ones[0]
        process = FakeProcess(
            spec,
            generation,
            ready=how.get("ready", True),
            obedient=how.get("obedient", True),
        )
        process.is_spare, process.beside = use_spare, beside
        self.started.append(process)
        return process


class World:
    """What actors share, with nothing real in it."""

    def __init__(self, data_dir: Path) -> None:
        self.launcher = FakeLauncher()
        self.history = History(wall=trio.current_time)
        self.restarted: list[str] = []
        self.crashes = data_dir / "crashes"
        self.shared = Shared(
            launcher=self.launcher,
            history=self.history,
            limits=LIMITS,
            crash_reports=CrashReports(data_dir),
            random=lambda: 0.5,
            on_change=lambda: None,
            on_restart=lambda spec: self.restarted.append(spec.instance),
        )

    def transitions(self) -> list[str]:
        return [entry.after for entry in self.history.last(limit=1000)]
