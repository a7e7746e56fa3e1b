"""Writes down what a supervisor holds and knows, and restores it in the next program of the same process.

Descriptors are written as numbers: `supervisor.takeover.upgrade` has exec keep them open.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from config import transfer
from supervisor.actors.launcher import Lifeline
from supervisor.actors.process import KernelProcess
from supervisor.actors.states import State
from supervisor.procfs import lineage_of_parent
from supervisor.run_directory import RunDir
from supervisor.sockets import Sockets
from supervisor.takeover.handles import Handles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config import Settings
    from config.transfer import Accepted
    from supervisor.actors.actor import Actor
    from supervisor.history import History

HISTORY_MAX: Final = 200  # entries of the history that are kept


class SnapshotProcess(msgspec.Struct, frozen=True):
    """Holds one process; `crashlog` and `lifeline` are descriptors."""

    generation: int
    pid: int
    ready: bool
    started_at: float  # CLOCK_MONOTONIC, the same for all processes
    crashlog: int | None
    lifeline: int | None


class SnapshotActor(msgspec.Struct, frozen=True):
    """Holds the counters of one actor, and its process."""

    last_generation: int
    restarts: int
    crashes: int
    process: SnapshotProcess | None


class Snapshot(msgspec.Struct, frozen=True):
    """Holds everything that outlives the program. A program of another version reads it.

    Attributes:
        sockets: the descriptors of the listening sockets by name; the fields named `…fd` and `…fds` are descriptors
            too.
        started_at: CLOCK_MONOTONIC.
        replaced: how many times the program has been replaced.
        lineage: the processes that have started this one, as `Origin.lineage`.
        settings: those that were accepted, as `config.transfer` encodes them.
        renews: why the run directory has to be made again, by this same program; empty: it is there.
    """

    run_dir: str
    made_run_dir: bool
    lock_fd: int
    lifeline_fds: tuple[int, int]
    notified_fd: int
    hellos_fd: int
    controls_fd: int
    sockets: dict[str, int]
    actors: dict[str, SnapshotActor]
    started_at: float
    replaced: int
    lineage: tuple[tuple[int, int], ...]
    history: tuple[dict[str, float | int | str | None], ...]
    settings: bytes = b""
    renews: str = ""

    def descriptors(self) -> list[int]:
        """Return all descriptors."""
        processes = [actor.process for actor in self.actors.values() if actor.process]
        own = (self.lock_fd, *self.lifeline_fds, self.notified_fd, self.hellos_fd, self.controls_fd)
        theirs = [fd for each in processes for fd in (each.crashlog, each.lifeline)]
        return [*own, *self.sockets.values(), *(fd for fd in theirs if fd is not None)]


@dataclass(frozen=True)
class Origin:
    """Tells where a supervisor comes from.

    Attributes:
        started_at: trio's clock, when its first program was started.
        replaced: how many times the program has been replaced since.
        lineage: the processes that have started it, as (pid, start time), its parent first.
        run_dir_was_lost: whether this program goes on because the run directory had to be made again.
    """

    started_at: float
    replaced: int
    lineage: tuple[tuple[int, int], ...]
    run_dir_was_lost: bool = False

    @classmethod
    def of(cls, snapshot: Snapshot | None) -> Origin:
        """Return that of a supervisor which goes on from a snapshot; None: of one that was started just now."""
        if snapshot is None:
            return cls(trio.current_time(), 0, lineage_of_parent())
        started_at = snapshot.started_at - time.monotonic() + trio.current_time()
        return cls(started_at, snapshot.replaced, snapshot.lineage, bool(snapshot.renews))


def take(
    handles: Handles,
    actors: Mapping[str, Actor],
    history: History,
    origin: Origin,
    accepted: Accepted,
    *,
    renews: str,
) -> Snapshot:
    """Return a snapshot with descriptors of its own: the supervisor may then close all its handles."""
    lifeline = handles.lifeline
    return Snapshot(
        run_dir=str(handles.run_dir.path),
        made_run_dir=handles.run_dir.made,
        lock_fd=os.dup(handles.run_dir.lock),
        lifeline_fds=(os.dup(lifeline.read), os.dup(lifeline.write)),
        notified_fd=os.dup(handles.notify_socket.fileno()),
        hellos_fd=os.dup(handles.adoption_socket.fileno()),
        controls_fd=os.dup(handles.control_socket.fileno()),
        sockets={name: os.dup(sock.fileno()) for name, sock in handles.sockets},
        actors={name: _take_actor(actor) for name, actor in actors.items()},
        started_at=origin.started_at - trio.current_time() + time.monotonic(),
        replaced=origin.replaced + 1,
        lineage=origin.lineage,
        history=tuple(entry.as_json() for entry in history.last(limit=HISTORY_MAX)),
        settings=transfer.encode(accepted),
        renews=renews,
    )


def _take_actor(actor: Actor) -> SnapshotActor:
    process = actor.current.process
    taken = None
    if isinstance(process, KernelProcess):
        taken = SnapshotProcess(
            generation=process.generation,
            pid=process.pid,
            ready=actor.current.state is State.READY,
            started_at=process.started_at - trio.current_time() + time.monotonic(),
            crashlog=None if process.crashlog is None else os.dup(process.crashlog),
            lifeline=None if process.lifeline is None else os.dup(process.lifeline.fileno()),
        )
    life = actor.life
    return SnapshotActor(life.last_generation, life.restarts, life.crashes, taken)


def handles_of(snapshot: Snapshot, settings: Settings) -> Handles:
    """Return the handles of a snapshot, and own its descriptors from then on."""
    for descriptor in snapshot.descriptors():
        os.set_inheritable(descriptor, False)
    path = Path(snapshot.run_dir)
    sockets = Sockets(path, settings.host, settings.port, settings.cluster.address if settings.cluster.is_on else None)
    for name, descriptor in snapshot.sockets.items():
        sockets.adopt(name, socket.socket(fileno=descriptor))
    return Handles(
        RunDir(path, snapshot.made_run_dir, snapshot.lock_fd),
        Lifeline(*snapshot.lifeline_fds),
        sockets,
        socket.socket(fileno=snapshot.notified_fd),
        socket.socket(fileno=snapshot.hellos_fd),
        socket.socket(fileno=snapshot.controls_fd),
    )


def restore(snapshot: Snapshot, actors: Mapping[str, Actor], history: History) -> None:
    """Restore history, counters and processes; a process whose actor is no longer planned is sent SIGTERM."""
    history.restore(snapshot.history)
    left = dict(snapshot.actors)
    for name, actor in actors.items():
        before = left.pop(name, None)
        if before is None:
            continue
        life = actor.life
        life.last_generation, life.restarts, life.crashes = before.last_generation, before.restarts, before.crashes
        process = None if before.process is None else _restore_process(name, before.process)
        if process is not None:
            actor.adopt(process, "kept while the supervisor was replaced")
    for removed in left.values():
        if removed.process is not None:
            os.kill(removed.process.pid, signal.SIGTERM)


def _restore_process(instance: str, before: SnapshotProcess) -> KernelProcess | None:
    lifeline = None if before.lifeline is None else socket.socket(fileno=before.lifeline)
    try:
        process = KernelProcess(
            instance,
            before.generation,
            before.pid,
            started_at=before.started_at - time.monotonic() + trio.current_time(),
            crashlog=before.crashlog,
            lifeline=lifeline,
        )
    except ProcessLookupError:
        if before.crashlog is not None:
            os.close(before.crashlog)
        if lifeline is not None:
            lifeline.close()
        return None
    if before.ready:
        process.ready.set()
    return process
