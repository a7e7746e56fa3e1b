"""Starts an actor's process: its own session, the descriptors and the environment that it is given.

posix_spawn, never fork: the child is a new program before anything of ours could run in it. No PR_SET_PDEATHSIG: an
actor is to outlive its supervisor; the life line tells it that the supervisor has gone.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import trio

from config import transfer
from config.paths import path_descriptor, unix_path
from supervisor.actors.process import KernelProcess, Process
from supervisor.actors.spares import Spares
from supervisor.run_directory import NOTIFY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from config.transfer import Accepted
    from supervisor.configuration.specs import ActorSpec
    from supervisor.sockets import Sockets

# Ours alone: an actor that inherited them would speak to our supervisor, or take our sockets for its own.
WITHHELD = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "MAINPID",
    }
)
CRASHLOG = "crashlog"
SETTINGS = "settings"


class Launcher(Protocol):
    """Starts processes; a test's starts none."""

    def start(self, spec: ActorSpec, generation: int, *, beside: bool = False, stand_in: bool = False) -> Process:
        """Start one process of the actor.

        Args:
            beside: another one runs, so this one has time.
            stand_in: one that is loaded already will do, if there is one.

        Raises:
            OSError: it can't be started.
        """


class Lifeline:
    """A pipe that nobody writes to: its read end is at its end once the supervisor, who holds the other, is gone."""

    def __init__(self, read: int | None = None, write: int | None = None) -> None:
        if read is None or write is None:
            read, write = os.pipe()
        self.read, self.write = read, write

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


class ProcessLauncher:
    """Starts real processes.

    Args:
        spare: the command line of a process that can become an actor's; empty: there is none.
        accepted: returns the settings that a process is given; None: it reads the configuration itself.
    """

    def __init__(
        self,
        sockets: Sockets,
        lifeline: Lifeline,
        environ: Mapping[str, str],
        run_dir: Path,
        spare: tuple[str, ...] = (),
        accepted: Callable[[], Accepted] | None = None,
    ) -> None:
        self._accepted = accepted
        self.spares = Spares(lambda fd: spawn((*spare, str(fd)), self._environ, [fd, *self._always]))
        self._sockets = sockets
        self._lifeline = lifeline
        self._environ = {key: value for key, value in environ.items() if key not in WITHHELD}
        self._notify_path = unix_path(run_dir, NOTIFY_NAME)
        through = path_descriptor(self._notify_path)
        self._always = [lifeline.read] if through is None else [lifeline.read, through]

    def start(self, spec: ActorSpec, generation: int, *, beside: bool = False, stand_in: bool = False) -> KernelProcess:
        """See `Launcher`."""
        # Its last words go to memory: nothing to clean up, and it can't fill a disk that is full already.
        crashlog = os.memfd_create(f"patchbay-{spec.instance}-{generation}", os.MFD_CLOEXEC)
        try:
            given = {**self._sockets.passed_to(spec, generation), CRASHLOG: crashlog}
            with self._settings() as settings:
                pid, spare = self._begin(spec, generation, given | settings, beside=beside, stand_in=stand_in)
        except OSError:
            os.close(crashlog)
            raise
        began = trio.current_time()
        process = KernelProcess(spec.instance, generation, pid, started_at=began, crashlog=crashlog)
        process.stands_in = spare
        return process

    def _begin(
        self, spec: ActorSpec, generation: int, given: dict[str, int], *, beside: bool, stand_in: bool
    ) -> tuple[int, bool]:
        """Have a spare or a new process be this one; return its pid, and whether it was a spare."""
        identity = self._identity(spec, generation, given)
        if not stand_in:
            self.spares.renew()  # whoever asked may have changed the program
        elif spec.spare:
            spare = self.spares.stand_in(spec.name, spec.command, identity, given)
            if spare is not None:
                return spare, True
        if beside:
            identity["PATCHBAY_ACTOR_BESIDE"] = "1"
        return spawn(spec.command, self._environ | identity, [*given.values(), *self._always]), False

    @contextmanager
    def _settings(self) -> Iterator[dict[str, int]]:
        """Give the descriptor that a process inherits its settings by; it is closed here afterwards."""
        if self._accepted is None:
            yield {}
            return
        descriptor = transfer.write(self._accepted())
        try:
            yield {SETTINGS: descriptor}
        finally:
            os.close(descriptor)

    def _identity(self, spec: ActorSpec, generation: int, given: dict[str, int]) -> dict[str, str]:
        return {
            "PATCHBAY_ACTOR_INDEX": str(spec.index),
            "PATCHBAY_ACTOR_GENERATION": str(generation),
            "PATCHBAY_ACTOR_FDS": ",".join(f"{name}:{fd}" for name, fd in given.items()),
            "PATCHBAY_ACTOR_LIFELINE": str(self._lifeline.read),
            "NOTIFY_SOCKET": self._notify_path,
        }


def spawn(command: tuple[str, ...], environ: Mapping[str, str], inherited: list[int]) -> int:
    """Start a program in a session of its own with these descriptors, under the same numbers; return its pid.

    Raises:
        OSError: it can't be started.
    """
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    ]
    # Onto itself: the number stays and close-on-exec goes, in the child only. Ours stay closed to everyone else.
    actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in inherited]
    return os.posix_spawnp(
        command[0],
        command,
        environ,
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM],
    )
