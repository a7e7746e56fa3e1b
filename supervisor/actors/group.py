"""Holds all actors of a supervisor: finds them by name, adds and removes them, stops them in order, saves what runs."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from supervisor.actors.actor import Actor
from supervisor.actors.crashes import CrashReports
from supervisor.actors.life import Shared
from supervisor.actors.policy import Limits
from supervisor.actors.states import State
from supervisor.configuration.specs import levels, matching
from supervisor.run_directory import SavedProcess
from supervisor.sockets import PortTakenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config import Settings
    from supervisor.actors.actor import Report
    from supervisor.actors.launcher import Launcher
    from supervisor.configuration.specs import ActorSpec
    from supervisor.history import History
    from supervisor.takeover.handles import Handles

logger = logging.getLogger(__name__)

PORT_RETRY_S = 0.05


class ActorGroup(Mapping[str, Actor]):
    """Maps the name of each process (`ingest.0`) to its actor, in an order in which they may be started.

    Args:
        started_at: trio's clock; the times within which actors wait for each other count from then.
    """

    def __init__(
        self,
        specs: Iterable[ActorSpec],
        launcher: Launcher,
        history: History,
        handles: Handles,
        settings: Settings,
        started_at: float,
    ) -> None:
        self._history = history
        self._handles = handles
        self._started_at = started_at
        self._nursery: trio.Nursery | None = None
        self._shared = Shared(
            launcher=launcher,
            history=history,
            limits=Limits.from_settings(settings.supervisor),
            crash_reports=CrashReports(Path(settings.data_dir)),
            random=random.random,
            on_change=self.save_state,
            on_restart=self._restart_dependents,
        )
        self._actors = {spec.instance: Actor(spec, self._shared) for spec in specs}

    def __getitem__(self, instance: str) -> Actor:
        return self._actors[instance]

    def __iter__(self) -> Iterator[str]:
        return iter(self._actors)

    def __len__(self) -> int:
        return len(self._actors)

    @property
    def specs(self) -> list[ActorSpec]:
        """Return the specs of all actors."""
        return [actor.spec for actor in self.values()]

    def find(self, name: str) -> list[Actor]:
        """Return the actors that a name stands for: `fanout` for all its processes, `fanout.1` for one."""
        return [self[spec.instance] for spec in matching(self.specs, name)]

    def not_ready(self) -> list[str]:
        """Return the names of those that are not READY."""
        return [name for name, actor in self.items() if actor.current.state is not State.READY]

    def is_quiet(self) -> bool:
        """Return whether all are READY and none is being restarted, rolled or stopped."""
        return not self.not_ready() and not any(actor.busy for actor in self.values())

    def configure(self, settings: Settings) -> None:
        """Apply to all actors what the settings say of restarts and of the place of crash reports."""
        self._shared.crash_reports = CrashReports(Path(settings.data_dir))
        self._shared.limits = Limits.from_settings(settings.supervisor)

    async def open_sockets(self, port_until: float) -> None:
        """Open the sockets that are missing; the public port may be taken until `port_until` (trio's clock).

        Raises:
            PortTakenError: another process listens on the public port.
        """
        for spec in self.specs:
            while True:
                try:
                    self._handles.sockets.open_for(spec)
                    break
                except PortTakenError:
                    if trio.current_time() >= port_until:
                        raise
                    await trio.sleep(PORT_RETRY_S)

    def run_in(self, nursery: trio.Nursery) -> None:
        """Keep all actors running, in tasks of this nursery; also those that are added later."""
        self._nursery = nursery
        self.save_state()
        for actor in self.values():
            nursery.start_soon(actor.run, partial(self._may_start, actor))

    def add(self, spec: ActorSpec) -> Actor:
        """Start an actor that was not there before, and return it.

        Raises:
            PortTakenError: as `open_sockets`.
        """
        assert self._nursery is not None
        self._handles.sockets.open_for(spec)
        actor = self._actors[spec.instance] = Actor(spec, self._shared)
        self._nursery.start_soon(actor.run, partial(self._may_start, actor))
        return actor

    async def remove(self, instance: str) -> None:
        """Stop an actor for good and close its sockets."""
        actor = self[instance]
        await actor.stop(trio.current_time() + actor.spec.stop_timeout_s)
        del self._actors[instance]
        self._handles.sockets.close_for(actor.spec)
        self.save_state()

    async def roll(self, actors: Iterable[Actor], why: str, *, recorded_as: str) -> list[Report]:
        """Roll actors one after the other; a failure is recorded, and those that follow are rolled all the same."""
        reports = []
        for actor in actors:
            report = await actor.roll(why, actor.spec.start_timeout_s)
            reports.append(report)
            if not report.ok:
                self._history.record(recorded_as, f"{report.actor}: {report.text}", level=logging.ERROR)
        return reports

    async def stop_in_order(self, timeout_s: float) -> None:
        """Stop level by level, last started first; each level has an equal share of the time that is left."""
        deadline = trio.current_time() + timeout_s
        order = levels(self.specs)
        for remaining in range(len(order), 0, -1):
            now = trio.current_time()
            until = now + max(0.0, deadline - now) / remaining
            async with trio.open_nursery() as nursery:
                for spec in order[remaining - 1]:
                    nursery.start_soon(self[spec.instance].stop, until)

    async def kill(self) -> None:
        """End by force what is not STOPPED."""
        async with trio.open_nursery() as nursery:
            for actor in self.values():
                if actor.current.state is not State.STOPPED:
                    nursery.start_soon(actor.stop, trio.current_time())

    def on_notification(self, pid: int, fields: Mapping[str, str]) -> None:
        """Give the fields of an sd_notify datagram to the process that has sent it."""
        for actor in self.values():
            for process in actor.processes:
                if process.pid == pid:
                    process.on_notification(fields, trio.current_time())
                    return
        logger.debug("notification of an unknown process, pid %d: %s", pid, fields)

    def save_state(self) -> None:
        """Write the state file, for the supervisor that comes after a crash of this one."""
        processes = [
            SavedProcess(actor.spec.name, actor.spec.index, process.pid, process.start_time, process.generation)
            for actor in self.values()
            for process in actor.processes
        ]
        generations = {name: actor.life.last_generation for name, actor in self.items()}
        try:
            self._handles.run_dir.write_state(generations, processes)
        except OSError as error:
            logger.warning("state file not written: %s; after a crash, the next supervisor finds older ones", error)

    def close(self) -> bool:
        """Close the handles of all processes, and return whether any process is left."""
        left = [process for actor in self.values() for process in actor.processes]
        for process in left:
            process.close()
        return bool(left)

    async def _may_start(self, actor: Actor) -> None:
        """Wait for the actors that this one starts after; one that fails or takes too long is waited for no longer."""
        for name in actor.spec.after:
            for other in self.find(name):
                with trio.move_on_at(self._started_at + other.spec.start_timeout_s):
                    await other.life.first_outcome.wait()

    def _restart_dependents(self, spec: ActorSpec) -> None:
        """Restart the actors whose `restart_with` names this one."""
        for actor in self.values():
            if spec.name in actor.spec.restart_with:
                assert self._nursery is not None
                self._nursery.start_soon(actor.restart, f"{spec.instance} was restarted", actor.spec.start_timeout_s)
