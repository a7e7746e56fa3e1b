"""Starts the process of an actor in a session of its own, with the descriptors and the environment that it is given.

posix_spawn, not fork: no code of the supervisor runs in the child. No PR_SET_PDEATHSIG: an actor outlives its
supervisor; the life line tells it that the supervisor has ended.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import trio

from config import transfer
from config.paths import path_descriptor, unix_path
from patchbay.process import socket_names
from supervisor.actors.process import KernelProcess, Process
from supervisor.actors.spares import Spares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from config.transfer import Accepted
    from supervisor.configuration.specs import ActorSpec
    from supervisor.sockets import Sockets

# Variables for the supervisor alone: an actor that inherited them would notify systemd, or take sockets for its own.
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
    """Starts processes."""

    def start(self, spec: ActorSpec, generation: int, *, beside: bool = False, use_spare: bool = False) -> Process:
        """Start one process of the actor.

        Args:
            beside: whether another process of the actor runs, so that this one may take its time.
            use_spare: whether a spare may become this process, if one is loaded.

        Raises:
            OSError: the process can't be started.
        """


class Lifeline:
    """Holds a pipe that nobody writes to: the read end, which actors inherit, is at its end once the supervisor has
    ended."""

    def __init__(self, read: int | None = None, write: int | None = None) -> None:
        if read is None or write is None:
            read, write = os.pipe()
        self.read, self.write = read, write

    def close(self) -> None:
        """Close both ends."""
        os.close(self.read)
        os.close(self.write)


class ProcessLauncher:
    """Starts real processes.

    Args:
        spare: the command line of a spare, see `supervisor.actors.spares`; empty: there are none.
        accepted: returns the settings that a process is given; None: processes read the configuration themselves.
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
        self._notify_path = unix_path(run_dir, socket_names.NOTIFY)
        through = path_descriptor(self._notify_path)
        self._always = [lifeline.read] if through is None else [lifeline.read, through]

    def start(
        self, spec: ActorSpec, generation: int, *, beside: bool = False, use_spare: bool = False
    ) -> KernelProcess:
        """See `Launcher`."""
        # The crash log is in memory: no file has to be removed, and a full disk does no harm.
        crashlog = os.memfd_create(f"patchbay-{spec.instance}-{generation}", os.MFD_CLOEXEC)
        try:
            given = {**self._sockets.descriptors_for(spec, generation), CRASHLOG: crashlog}
            with self._settings() as settings:
                pid, spare = self._begin(spec, generation, given | settings, beside=beside, use_spare=use_spare)
        except OSError:
            os.close(crashlog)
            raise
        now = trio.current_time()
        process = KernelProcess(spec.instance, generation, pid, started_at=now, crashlog=crashlog)
        process.is_spare = spare
        return process

    def _begin(
        self, spec: ActorSpec, generation: int, given: dict[str, int], *, beside: bool, use_spare: bool
    ) -> tuple[int, bool]:
        """Assign a spare or start a process; return its pid, and whether it is a spare.

        A start that allows no spare is planned: the program may be another by now, so the spares are replaced.
        """
        identity = self._identity(spec, generation, given)
        if not use_spare:
            self.spares.renew()
        elif spec.spare:
            pid = self.spares.assign(spec.name, spec.command, identity, given)
            if pid is not None:
                return pid, True
        if beside:
            identity["PATCHBAY_ACTOR_BESIDE"] = "1"
        return spawn(spec.command, self._environ | identity, [*given.values(), *self._always]), False

    @contextmanager
    def _settings(self) -> Iterator[dict[str, int]]:
        """Open the file with the accepted settings, which a process inherits; yield its descriptor and close it."""
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
        OSError: the program can't be started.
    """
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    ]
    # dup2 onto itself: the number stays, and close-on-exec is cleared in the child only.
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
