"""The supervisor: puts the actors, what they are given and those who ask together. Owns no decision about an actor."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from supervisor import sd_notify
from supervisor.actors import watchdog
from supervisor.actors.actor import Actor
from supervisor.actors.crashes import CrashReports
from supervisor.actors.launcher import ProcessLauncher
from supervisor.actors.life import Surroundings
from supervisor.actors.policy import Limits
from supervisor.actors.states import State
from supervisor.commands.history import History
from supervisor.configuration.specs import ActorSpec, levels, matching
from supervisor.run_directory import ActorNote, lineage_of_starter, start_time
from supervisor.sockets import PortTakenError
from supervisor.takeover import adoption, upgrade
from supervisor.takeover.survivors import Survivors

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from config import Settings
    from config.transfer import Accepted
    from supervisor.takeover.handles import Handles
    from supervisor.takeover.upgrade import Kept

logger = logging.getLogger(__name__)

# After a crash: how long the port may still be held by a process that was just ended, and how often to try.
PORT_PATIENCE_S = 1.0
PORT_RETRY_S = 0.05


@dataclass(frozen=True)
class Refusal:
    """Why the configuration as it is now is not what runs, and since when (seconds since 1970)."""

    at: float
    why: str


class Supervisor:
    """All of one run directory. `run` does the work; the rest is for those who ask.

    Attributes:
        accepted: the settings that every process gets which is started from now on.
        refused: set while the configuration that was read last was refused.
    """

    def __init__(
        self,
        accepted: Accepted,
        plan: Callable[[Settings], Sequence[ActorSpec]],
        handles: Handles,
        environ: Mapping[str, str],
        kept: Kept | None = None,
    ) -> None:
        self.accepted = accepted
        self.refused: Refusal | None = None
        settings = accepted.settings
        self.plan = plan
        self.handles = handles
        self.environ = environ
        self.history = History()
        self.started = trio.Event()  # what ran is taken in, the rest is being started
        self.stopping = trio.Event()
        self.reconfiguring = trio.Lock()  # one change of the configuration after another
        self.kept: Kept | None = None  # set when the next program takes over
        self.started_at = trio.current_time()
        self.replaced = 0
        self.renewed = kept is not None and bool(kept.renews)  # the run directory was
        self.lineage = lineage_of_starter() if kept is None else kept.lineage
        self._kept_before = kept
        self._leaving = False  # what runs is another supervisor's from now on
        self._patience = trio.CancelScope()  # a second wish to stop ends it
        planned = plan(settings)
        spare = next((spec.spare for spec in planned if spec.spare), ())
        self.launcher = ProcessLauncher(
            handles.sockets, handles.lifeline, environ, handles.run_dir.path, spare, lambda: self.accepted
        )
        self.around = Surroundings(
            launcher=self.launcher,
            history=self.history,
            limits=limits(settings),
            crash_reports=CrashReports(Path(settings.data_dir)),
            random=random.random,
            changed=self._note,
            restarted=self._restarted,
        )
        self.actors = {spec.instance: Actor(spec, self.around) for spec in planned}
        self._survivors = Survivors(self.actors, handles.sockets, handles.run_dir, self.history)
        self._nursery: trio.Nursery | None = None

    @property
    def settings(self) -> Settings:
        return self.accepted.settings

    @property
    def specs(self) -> list[ActorSpec]:
        return [actor.spec for actor in self.actors.values()]

    @property
    def ready(self) -> bool:
        return not self.not_ready()

    def not_ready(self) -> list[str]:
        return [name for name, actor in self.actors.items() if actor.current.state is not State.READY]

    def orphaned(self) -> bool:
        """Whether whoever started this supervisor has gone: honcho was killed, say, and a new one can't know it."""
        return any(start_time(pid) != began for pid, began in self.lineage)

    def named(self, name: str) -> list[Actor]:
        """Return the actors that a person means by a name; empty: no such."""
        return [self.actors[spec.instance] for spec in matching(self.specs, name)]

    async def run(self) -> None:
        """Adopt what runs, start the rest, keep it running; return when all is stopped or another's.

        Raises:
            PortTakenError: (in a group) somebody else listens on the public port; nothing has been started.
        """
        handles = self.handles
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(sd_notify.receive, handles.notified, self._heard)
            nursery.start_soon(adoption.serve, handles.hellos, self._adopt)
            patience_s = await self._take_over()
            await self._provide(trio.current_time() + patience_s)
            self._note()
            for actor in self.actors.values():
                nursery.start_soon(actor.run, partial(self._may_start, actor))
            nursery.start_soon(
                watchdog.watch,
                lambda: list(self.actors.values()),
                lambda: self.settings.supervisor.watchdog_s,
            )
            nursery.start_soon(self.launcher.spares.run, lambda: self.settings.supervisor.spares, self._is_quiet)
            self.started.set()
            await self.stopping.wait()
            if not self._leaving:
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
        self._leaving = True
        self.stopping.set()

    def replace(self, *, renews: str = "") -> None:
        """Go, and leave everything to the next version of this program, in this process.

        Args:
            renews: why the run directory is to be made anew; then the program stays what it is.
        """
        if self.stopping.is_set():
            return
        try:
            self.kept = msgspec.structs.replace(upgrade.keep(self), renews=renews)
        except upgrade.UpgradeError as error:
            self.history.record("supervisor", f"not replaced: {error}")
            return
        self.hand_over()

    def begin(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Have something done that nobody waits for, and that ends with us."""
        assert self._nursery is not None
        self._nursery.start_soon(work, *arguments)

    def add(self, spec: ActorSpec) -> None:
        """Start an actor that was not there before."""
        self.handles.sockets.provide(spec)
        actor = self.actors[spec.instance] = Actor(spec, self.around)
        self.begin(actor.run, partial(self._may_start, actor))

    async def remove(self, instance: str) -> None:
        """Stop an actor, and have it no more."""
        actor = self.actors[instance]
        await actor.stop(trio.current_time() + actor.spec.stop_timeout_s)
        del self.actors[instance]
        self.handles.sockets.forget(actor.spec)
        self._note()

    def close(self) -> bool:
        """Let go of the processes, and return whether any is left."""
        left = [process for actor in self.actors.values() for process in actor.processes]
        for process in left:
            process.close()
        return bool(left)

    async def _may_start(self, actor: Actor) -> None:
        """Wait for those it comes after; one that fails or takes too long is waited for no longer."""
        for name in actor.spec.after:
            for other in self.named(name):
                with trio.move_on_at(self.started_at + other.spec.start_timeout_s):
                    await other.life.had_its_chance.wait()

    async def _stop_in_order(self) -> None:
        """Stop level by level, last started first; each level has its share of the time that is left."""
        self.history.record("supervisor", "everything stops")
        deadline = trio.current_time() + self.settings.supervisor.stop_timeout_s
        order = levels(self.specs)
        for remaining in range(len(order), 0, -1):
            now = trio.current_time()
            until = now + max(0.0, deadline - now) / remaining
            async with trio.open_nursery() as nursery:
                for spec in order[remaining - 1]:
                    nursery.start_soon(self.actors[spec.instance].stop, until)

    async def _stop_at_once(self) -> None:
        """End what is still there by force."""
        async with trio.open_nursery() as nursery:
            for actor in self.actors.values():
                if actor.current.state is not State.STOPPED:
                    nursery.start_soon(actor.stop, trio.current_time())

    async def _take_over(self) -> float:
        """Take in what runs already; return how long the port may still be held by what no longer should."""
        kept = self._kept_before
        if kept is None:
            return PORT_PATIENCE_S if await self._survivors.gather() else 0.0
        upgrade.restore(kept, self)
        return 0.0

    async def _provide(self, port_until: float) -> None:
        """Open what sockets are missing."""
        for spec in self.specs:
            while True:
                try:
                    self.handles.sockets.provide(spec)
                    break
                except PortTakenError:
                    if trio.current_time() >= port_until:
                        raise
                    await trio.sleep(PORT_RETRY_S)

    def _adopt(self, hello: adoption.Hello, given: dict[str, int], link: socket.socket) -> str:
        return "everything stops" if self.stopping.is_set() else self._survivors.take(hello, given, link)

    def _heard(self, pid: int, fields: Mapping[str, str]) -> None:
        for actor in self.actors.values():
            for process in actor.processes:
                if process.pid == pid:
                    process.notified(fields, trio.current_time())
                    return
        logger.debug("notification of a stranger, pid %d: %s", pid, fields)

    def _is_quiet(self) -> bool:
        """Whether nothing begins or ends at the moment."""
        return all(actor.current.state is State.READY and not actor.busy for actor in self.actors.values())

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
            self.handles.run_dir.write_note(generations, actors)
        except OSError as error:
            logger.warning("what runs could not be noted: %s", error)

    def _restarted(self, spec: ActorSpec) -> None:
        """Restart those that are to be restarted with an actor that was."""
        for actor in self.actors.values():
            if spec.name in actor.spec.restart_with:
                why, timeout_s = f"{spec.instance} was restarted", actor.spec.start_timeout_s
                self.begin(_restart, actor, why, timeout_s)


async def _restart(actor: Actor, why: str, timeout_s: float) -> None:
    await actor.restart(why, timeout_s)


def limits(settings: Settings) -> Limits:
    """Return what the settings say about restarts."""
    given = settings.supervisor
    return Limits(
        first_s=given.backoff_first_s,
        max_s=given.backoff_max_s,
        reset_s=given.backoff_reset_s,
        intensity=given.intensity,
        period_s=given.intensity_period_s,
    )
