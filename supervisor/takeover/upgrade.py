"""Replaces the supervisor's program by a new version of it, in the same process, with everything it holds.

What it holds is written to a file in memory, and the numbers of the descriptors with it; exec keeps those, the
children, and the pid. If exec fails, the same notes bring the old program back. Knows what is kept, not when.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from config import transfer
from supervisor.actors.launcher import Lifeline
from supervisor.actors.process import KernelProcess
from supervisor.actors.states import State
from supervisor.run_directory import RunDir
from supervisor.sockets import Sockets
from supervisor.takeover.handles import Handles

if TYPE_CHECKING:
    from config import Settings
    from supervisor.actors.actor import Actor
    from supervisor.service import Supervisor

RESUME = "--resume"
# Between two programs there is nobody to obey them; they wait until there is.
DEFERRED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
JOURNAL_KEPT = 200
CHECK_S = 15.0


class UpgradeError(Exception):
    """The new program would not run, or it is not the moment; nothing has changed."""


class KeptProcess(msgspec.Struct, frozen=True):
    generation: int
    pid: int
    ready: bool
    started_at: float  # CLOCK_MONOTONIC, the same for all processes
    crashlog: int | None
    lifeline: int | None


class KeptActor(msgspec.Struct, frozen=True):
    last_generation: int
    restarts: int
    crashes: int
    process: KeptProcess | None


class Kept(msgspec.Struct, frozen=True):
    """Everything that outlives the program. Numbers named `…fd` and those of sockets are descriptors."""

    run_dir: str
    made_run_dir: bool
    lock_fd: int
    lifeline_fds: tuple[int, int]
    notified_fd: int
    hellos_fd: int
    controls_fd: int
    sockets: dict[str, int]
    actors: dict[str, KeptActor]
    started_at: float
    replaced: int  # how many times the program has been replaced
    lineage: tuple[tuple[int, int], ...]
    history: tuple[dict[str, float | int | str | None], ...]
    settings: bytes = b""  # those that were accepted; see `config.transfer`
    renews: str = ""  # why the run directory is to be made anew, by this same program

    def descriptors(self) -> list[int]:
        processes = [actor.process for actor in self.actors.values() if actor.process]
        own = (self.lock_fd, *self.lifeline_fds, self.notified_fd, self.hellos_fd, self.controls_fd)
        theirs = [fd for each in processes for fd in (each.crashlog, each.lifeline)]
        return [*own, *self.sockets.values(), *(fd for fd in theirs if fd is not None)]


async def check() -> None:
    """See that the program as it is on disk now starts and accepts the configuration.

    Raises:
        UpgradeError: it does not; in its own words.
    """
    with trio.move_on_after(CHECK_S):
        result = await trio.run_process([*command(), "check"], capture_stdout=True, capture_stderr=True, check=False)
        if result.returncode == 0:
            return
        said = result.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise UpgradeError(f"the new version does not start (exit {result.returncode}): {said[-1]}")
    raise UpgradeError(f"the new version has not started after {CHECK_S:g} s")


def command() -> list[str]:
    """Return the command line that started this program, without what is for one start only."""
    kept, skip = [sys.executable], False
    for word in sys.orig_argv[1:]:
        if not skip and word not in (RESUME, "--take-over"):
            kept.append(word)
        skip = word == RESUME
    return kept


def refuse_if_busy(supervisor: Supervisor) -> None:
    """Raise UpgradeError while an actor is in the middle of something that could not be gone on with."""
    busy = [name for name, actor in supervisor.actors.items() if actor.busy]
    if busy:
        raise UpgradeError(f"not while {', '.join(busy)} is being restarted, rolled or stopped")


def keep(supervisor: Supervisor) -> Kept:
    """Write down what is held, with descriptors of its own; the supervisor may then close everything.

    Raises:
        UpgradeError: an actor is being restarted, rolled or stopped.
    """
    refuse_if_busy(supervisor)
    handles = supervisor.handles
    lifeline = handles.lifeline
    # From here to the moment that the next program listens to them.
    signal.pthread_sigmask(signal.SIG_BLOCK, DEFERRED)
    return Kept(
        run_dir=str(handles.run_dir.path),
        made_run_dir=handles.run_dir.made,
        lock_fd=os.dup(handles.run_dir.lock),
        lifeline_fds=(os.dup(lifeline.read), os.dup(lifeline.write)),
        notified_fd=os.dup(handles.notified.fileno()),
        hellos_fd=os.dup(handles.hellos.fileno()),
        controls_fd=os.dup(handles.controls.fileno()),
        sockets={name: os.dup(sock.fileno()) for name, sock in handles.sockets},
        actors={name: _keep_actor(actor) for name, actor in supervisor.actors.items()},
        started_at=supervisor.started_at - trio.current_time() + time.monotonic(),
        replaced=supervisor.replaced + 1,
        lineage=supervisor.lineage,
        history=tuple(entry.as_json() for entry in supervisor.history.last(limit=JOURNAL_KEPT)),
        settings=transfer.encode(supervisor.accepted),
    )


def _keep_actor(actor: Actor) -> KeptActor:
    process = actor.current.process
    kept = None
    if isinstance(process, KernelProcess):
        kept = KeptProcess(
            generation=process.generation,
            pid=process.pid,
            ready=actor.current.state is State.READY,
            started_at=process.started_at - trio.current_time() + time.monotonic(),
            crashlog=None if process.crashlog is None else os.dup(process.crashlog),
            lifeline=None if process.lifeline is None else os.dup(process.lifeline.fileno()),
        )
    life = actor.life
    return KeptActor(life.last_generation, life.restarts, life.crashes, kept)


def become(kept: Kept) -> None:
    """Replace the program; returns only if that fails.

    Raises:
        OSError: it could not be done; the descriptors are as they were.
    """
    memory = os.memfd_create("patchbay-supervisor", 0)
    os.write(memory, msgspec.json.encode(kept))
    for descriptor in (memory, *kept.descriptors()):
        os.set_inheritable(descriptor, True)
    try:
        words = [*command(), RESUME, str(memory)]
        os.execv(words[0], words)
    finally:
        os.close(memory)


def read(memory: int) -> Kept:
    """Return what the program before this one in the same process has kept."""
    with os.fdopen(memory, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=Kept)


def handles(kept: Kept, settings: Settings) -> Handles:
    """Take over the descriptors that were kept."""
    for descriptor in kept.descriptors():
        os.set_inheritable(descriptor, False)
    path = Path(kept.run_dir)
    sockets = Sockets(path, settings.host, settings.port)
    for name, descriptor in kept.sockets.items():
        sockets.hold(name, socket.socket(fileno=descriptor))
    return Handles(
        RunDir(path, kept.made_run_dir, kept.lock_fd),
        Lifeline(*kept.lifeline_fds),
        sockets,
        socket.socket(fileno=kept.notified_fd),
        socket.socket(fileno=kept.hellos_fd),
        socket.socket(fileno=kept.controls_fd),
    )


def restore(kept: Kept, supervisor: Supervisor) -> None:
    """Give a supervisor its past back, and its actors; a process that is nobody's any more is asked to end."""
    supervisor.history.restore(kept.history)
    supervisor.replaced = kept.replaced
    supervisor.started_at = kept.started_at - time.monotonic() + trio.current_time()
    left = dict(kept.actors)
    for actor in supervisor.actors.values():
        before = left.pop(actor.spec.instance, None)
        if before is None:
            continue
        life = actor.life
        life.last_generation, life.restarts = before.last_generation, before.restarts
        life.crashes = before.crashes
        if before.process is None:
            continue
        process = _restore_process(actor.spec.instance, before.process)
        if process is not None:
            actor.adopt(process, "kept while the supervisor was replaced")
    for gone in left.values():
        if gone.process is not None:
            os.kill(gone.process.pid, signal.SIGTERM)


def _restore_process(instance: str, kept: KeptProcess) -> KernelProcess | None:
    lifeline = None if kept.lifeline is None else socket.socket(fileno=kept.lifeline)
    try:
        process = KernelProcess(
            instance,
            kept.generation,
            kept.pid,
            started_at=kept.started_at - time.monotonic() + trio.current_time(),
            crashlog=kept.crashlog,
            lifeline=lifeline,
        )
    except ProcessLookupError:
        if kept.crashlog is not None:
            os.close(kept.crashlog)
        if lifeline is not None:
            lifeline.close()
        return None
    if kept.ready:
        process.ready.set()
    return process
