"""The supervisor: puts the actors, their sockets and those who ask together. Owns no decision about an actor."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from supervisor import adoption, notify
from supervisor.actor import Actor
from supervisor.crashes import CrashReports
from supervisor.journal import Journal
from supervisor.launcher import CRASHLOG, Lifeline, ProcessLauncher
from supervisor.life import Surroundings
from supervisor.policy import Limits
from supervisor.process import KernelProcess
from supervisor.rundir import CONTROL_NAME, HELLO_NAME, NOTIFY_NAME, ActorNote, RunDir, lineage, start_time
from supervisor.sockets import PortTakenError, Sockets, listen_unix
from supervisor.specs import ActorSpec, levels, matching, slot
from supervisor.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config import Settings

logger = logging.getLogger(__name__)

# Actors without a supervisor look for one five times a second; one that takes longer than this hangs.
ADOPTION_S = 3.0
ADOPTION_POLL_S = 0.05
# After a crash: how long the port may still be held by a process that was just ended.
PORT_PATIENCE_S = 1.0
OURS = frozenset({CONTROL_NAME, NOTIFY_NAME, HELLO_NAME})


class Supervisor:
    """All of one run directory. `run` does the work; the rest is for those who ask."""

    def __init__(
        self,
        settings: Settings,
        specs: Sequence[ActorSpec],
        run_dir: RunDir,
        environ: Mapping[str, str],
    ) -> None:
        self.settings = settings
        self.run_dir = run_dir
        self.started_at = trio.current_time()
        self.journal = Journal()
        self.stopping = trio.Event()
        self.handing_over = False
        self._patience = trio.CancelScope()  # a second wish to stop ends it
        self.sockets = Sockets(run_dir.path, settings.host, settings.port)
        self.lifeline = Lifeline()
        self.lineage = lineage(os.getppid())
        self._around = Surroundings(
            launcher=ProcessLauncher(self.sockets, self.lifeline, environ, str(run_dir.path.absolute() / NOTIFY_NAME)),
            journal=self.journal,
            limits=limits(settings),
            crash_reports=CrashReports(Path(settings.data_dir)),
            random=random.random,
            changed=self._note,
            restarted=self._restarted,
        )
        self.actors = {spec.instance: Actor(spec, self._around) for spec in specs}
        self._levels = levels(specs)
        self._nursery: trio.Nursery | None = None
        self._survived = False  # there was a supervisor before this one that did not end as it should

    @property
    def specs(self) -> list[ActorSpec]:
        return [actor.spec for actor in self.actors.values()]

    @property
    def ready(self) -> bool:
        return all(actor.current.state is State.READY for actor in self.actors.values())

    def not_ready(self) -> list[str]:
        return [name for name, actor in self.actors.items() if actor.current.state is not State.READY]

    def orphaned(self) -> bool:
        """Whether whoever started this supervisor has gone: honcho was killed, say, and a new one can't know it."""
        return any(start_time(pid) != began for pid, began in self.lineage)

    def named(self, name: str) -> list[Actor]:
        """Return the actors that a person means by a name; empty: no such."""
        return [self.actors[spec.instance] for spec in matching(self.specs, name)]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Adopt what runs, start the rest, keep it running; return when all is stopped or handed over.

        Raises:
            PortTakenError: somebody else listens on the public port; nothing has been started.
        """
        with (
            notify.listen(self.run_dir.path) as heard,
            listen_unix(self.run_dir.path, HELLO_NAME, socket.SOCK_SEQPACKET) as hellos,
        ):
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(notify.receive, heard, self._heard)
                nursery.start_soon(adoption.serve, hellos, self._adopt)
                await self._look_for_survivors()
                await self._provide()
                self._note()
                task_status.started()
                for actor in self.actors.values():
                    nursery.start_soon(actor.run, partial(self._may_start, actor.spec))
                await self.stopping.wait()
                if not self.handing_over:
                    with self._patience:
                        await self._stop_in_order()
                    await self._stop_at_once()
                nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Have everything stopped in order; asked for again, at once."""
        if self.stopping.is_set():
            logger.warning("stopping at once")
            self._patience.cancel()
        self.stopping.set()

    def hand_over(self) -> None:
        """Go, and leave everything running for the next supervisor to adopt."""
        self.handing_over = True
        self.stopping.set()

    def close(self) -> None:
        """Let go of sockets and life line; the actors, if any, are without a supervisor then."""
        for actor in self.actors.values():
            for process in actor.processes:
                process.close()
        self.sockets.close()
        self.lifeline.close()

    async def _may_start(self, spec: ActorSpec) -> None:
        """Wait for those it comes after; one that does not come up in its time is waited for no longer."""
        for name in spec.after:
            for actor in self.named(name):
                with trio.move_on_at(self.started_at + actor.spec.start_timeout_s):
                    await actor.life.came_up.wait()

    async def _stop_in_order(self) -> None:
        """Stop level by level, last started first; each level has its share of the time that is left."""
        self.journal.record("supervisor", "everything stops")
        deadline = trio.current_time() + self.settings.supervisor.stop_timeout_s
        for remaining in range(len(self._levels), 0, -1):
            now = trio.current_time()
            until = now + max(0.0, deadline - now) / remaining
            async with trio.open_nursery() as nursery:
                for spec in self._levels[remaining - 1]:
                    nursery.start_soon(self.actors[spec.instance].stop, until)

    async def _stop_at_once(self) -> None:
        """End what is still there by force."""
        async with trio.open_nursery() as nursery:
            for actor in self.actors.values():
                if actor.current.state is not State.STOPPED:
                    nursery.start_soon(actor.stop, trio.current_time())

    async def _look_for_survivors(self) -> None:
        """Give the processes of a supervisor that died the time to say hello; end those that don't."""
        note = self.run_dir.read_note()
        if note is None:
            self.run_dir.sweep(keep=OURS)
            return
        self._survived = True
        for instance, generation in note.generations.items():
            if instance in self.actors:
                self.actors[instance].life.last_generation = generation
        expected = [each for each in note.actors if start_time(each.pid) == each.start_time]
        with trio.move_on_after(ADOPTION_S):
            while self._missing(expected):
                # They come, which the journal tells, or they end, which nobody does.
                with trio.move_on_after(ADOPTION_POLL_S):
                    await self.journal.change()
        for missing in self._missing(expected):
            self.journal.record(missing.instance, "it did not say hello: killed", pid=missing.pid)
            with suppress(ProcessLookupError):
                os.kill(missing.pid, signal.SIGKILL)
        self.run_dir.sweep(keep={*OURS, *(name for name, _ in self.sockets)})

    def _missing(self, expected: Sequence[ActorNote]) -> list[ActorNote]:
        known = {process.pid for actor in self.actors.values() for process in actor.processes}
        return [note for note in expected if note.pid not in known and start_time(note.pid) == note.start_time]

    async def _provide(self) -> None:
        """Open what sockets are missing. A port still held by what was just ended is given a moment."""
        for actor in self.actors.values():
            patience = trio.current_time() + (PORT_PATIENCE_S if self._survived else 0.0)
            while True:
                try:
                    self.sockets.provide(actor.spec)
                    break
                except PortTakenError:
                    if trio.current_time() >= patience:
                        raise
                    await trio.sleep(ADOPTION_POLL_S)

    def _adopt(self, hello: adoption.Hello, given: dict[str, int], link: socket.socket) -> str:
        """Take over a process that has outlived its supervisor; return why not, if not."""
        actor = self.actors.get(hello.instance)
        if self.stopping.is_set():
            return "everything stops"
        if actor is None or actor.current.process is not None or actor.beside is not None:
            # Its place is taken, or there is none for it any more: it is to give its connections back and go.
            with suppress(ProcessLookupError):
                os.kill(hello.pid, signal.SIGTERM)
            return f"there is no place for {hello.instance} (pid {hello.pid}): it is to end"
        try:
            process = KernelProcess(
                hello.instance,
                hello.generation,
                hello.pid,
                started_at=trio.current_time(),
                crashlog=given.pop(CRASHLOG, None),
                lifeline=link,
            )
        except ProcessLookupError:
            return f"{hello.instance} (pid {hello.pid}) has ended"
        if hello.ready:
            process.ready.set()
        for name, descriptor in given.items():
            self._hold(actor.spec, hello.generation, name, descriptor)
        actor.adopt(process)
        return ""

    def _hold(self, spec: ActorSpec, generation: int, name: str, descriptor: int) -> None:
        if name in spec.endpoints:
            name = spec.endpoint_path(slot(generation), name)
        elif name not in spec.listeners:
            os.close(descriptor)
            return
        self.sockets.hold(name, socket.socket(fileno=descriptor))

    def _heard(self, pid: int, fields: Mapping[str, str]) -> None:
        for actor in self.actors.values():
            for process in actor.processes:
                if process.pid == pid:
                    process.notified(fields, trio.current_time())
                    return
        logger.debug("notification of a stranger, pid %d: %s", pid, fields)

    def _note(self) -> None:
        """Write down what runs, for the supervisor that comes after a crash of this one."""
        actors = [
            ActorNote(
                actor.spec.name,
                actor.spec.index,
                process.pid,
                process.start_time,
                process.generation,
            )
            for actor in self.actors.values()
            for process in actor.processes
        ]
        generations = {name: actor.life.last_generation for name, actor in self.actors.items()}
        try:
            self.run_dir.write_note(generations, actors)
        except OSError as error:
            logger.warning("what runs could not be noted: %s", error)

    def _restarted(self, spec: ActorSpec) -> None:
        """Restart those that are to be restarted with an actor that was."""
        for actor in self.actors.values():
            if spec.name in actor.spec.restart_with and self._nursery is not None:
                why = f"{spec.instance} was restarted"
                self._nursery.start_soon(actor.restart, why, actor.spec.start_timeout_s)


def limits(settings: Settings) -> Limits:
    given = settings.supervisor
    return Limits(
        first_s=given.backoff_first_s,
        max_s=given.backoff_max_s,
        reset_s=given.backoff_reset_s,
        intensity=given.intensity,
        period_s=given.intensity_period_s,
    )
