"""Runs one supervisor: takes over what runs, starts the rest, keeps it running, and stops it or leaves it to the next.

Decides nothing about a single actor: see `supervisor.actors`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from supervisor import sd_notify
from supervisor.actors import watchdog
from supervisor.actors.group import ActorGroup
from supervisor.actors.launcher import ProcessLauncher
from supervisor.history import History
from supervisor.procfs import start_time
from supervisor.takeover import adoption, snapshot, upgrade
from supervisor.takeover.snapshot import Origin
from supervisor.takeover.survivors import Survivors

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from config import Settings
    from config.transfer import Accepted
    from supervisor.configuration.reload import Refusal
    from supervisor.configuration.specs import ActorSpec
    from supervisor.takeover.handles import Handles
    from supervisor.takeover.snapshot import Snapshot

logger = logging.getLogger(__name__)

# After a crash of the supervisor: how long a process that was just ended may still hold the public port.
PORT_PATIENCE_S = 1.0


class Supervisor:
    """Supervises the actors of one run directory. `run` does the work; the other methods are for commands and signals.

    Attributes:
        accepted: the settings that every process gets which is started from now on.
        refused: set while the configuration that was read last is refused.
        started: set when all that ran is taken over and the rest is being started.
        reconfiguring: held by one change of the configuration, or of the run directory, at a time.
        snapshot: set when the next program takes over, in the same process.
    """

    def __init__(
        self,
        accepted: Accepted,
        plan: Callable[[Settings], Sequence[ActorSpec]],
        handles: Handles,
        environ: Mapping[str, str],
        before: Snapshot | None = None,
    ) -> None:
        """Prepare a supervisor; `before`: what the program before this one, in the same process, has left."""
        self.accepted = accepted
        self.refused: Refusal | None = None
        self.plan = plan
        self.handles = handles
        self.environ = environ
        self.history = History()
        self.started = trio.Event()
        self.stopping = trio.Event()
        self.reconfiguring = trio.Lock()
        self.snapshot: Snapshot | None = None
        self.origin = Origin.of(before)
        specs = plan(accepted.settings)
        self.launcher = self._launcher(specs)
        self.actors = ActorGroup(specs, self.launcher, self.history, handles, accepted.settings, self.origin.started_at)
        self._before = before
        self._survivors = Survivors(self.actors, handles.sockets, handles.run_dir, self.history)
        self._leaves_actors = False  # the next supervisor has them
        self._orderly_stop = trio.CancelScope()  # cancelled by a second request to stop
        self._nursery: trio.Nursery | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings that were accepted."""
        return self.accepted.settings

    @property
    def ready(self) -> bool:
        """Return whether all actors are READY."""
        return not self.actors.not_ready()

    def orphaned(self) -> bool:
        """Return whether a process of its lineage has ended: honcho was killed, say, and a new honcho knows nothing of
        it."""
        return any(start_time(pid) != began for pid, began in self.origin.lineage)

    async def run(self) -> None:
        """Take over what runs, start the rest, keep it running; return when all is stopped or left to the next
        supervisor.

        Raises:
            PortTakenError: (in a group) another process listens on the public port; nothing has been started.
        """
        handles = self.handles
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(sd_notify.receive, handles.notify_socket, self.actors.on_notification)
            nursery.start_soon(adoption.serve, handles.adoption_socket, self._adopt)
            patience_s = await self._take_over()
            await self.actors.open_sockets(trio.current_time() + patience_s)
            self.actors.run_in(nursery)
            nursery.start_soon(
                watchdog.watch,
                lambda: list(self.actors.values()),
                lambda: self.settings.supervisor.watchdog_s,
            )
            nursery.start_soon(self.launcher.spares.run, lambda: self.settings.supervisor.spares, self.actors.is_quiet)
            self.started.set()
            await self.stopping.wait()
            if not self._leaves_actors:
                await self._stop_actors()
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Request to stop everything in order; a second request stops everything at once."""
        if self.stopping.is_set():
            logger.warning("stopping at once")
            self._orderly_stop.cancel()
        self.stopping.set()

    def hand_over(self) -> None:
        """Request to end and leave everything running, for the next supervisor to adopt."""
        self._leaves_actors = True
        self.stopping.set()

    def replace(self, *, renews: str = "") -> None:
        """Request to end and leave everything to the next program in this process. Refused while an actor is busy.

        Args:
            renews: why the run directory has to be made again; then the next program is this one.
        """
        if self.stopping.is_set():
            return
        try:
            upgrade.refuse_if_busy(self.actors)
        except upgrade.UpgradeError as error:
            self.history.record("supervisor", f"not replaced: {error}")
            return
        upgrade.defer_signals()
        self.snapshot = snapshot.take(
            self.handles, self.actors, self.history, self.origin, self.accepted, renews=renews
        )
        self.hand_over()

    def start_soon(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task that nobody waits for, and that is cancelled when `run` returns."""
        assert self._nursery is not None
        self._nursery.start_soon(work, *arguments)

    async def _stop_actors(self) -> None:
        self.history.record("supervisor", "everything stops")
        with self._orderly_stop:
            await self.actors.stop_in_order(self.settings.supervisor.stop_timeout_s)
        await self.actors.kill()

    async def _take_over(self) -> float:
        """Take over what runs; return how long the public port may still be held by a process that was ended."""
        if self._before is not None:
            snapshot.restore(self._before, self.actors, self.history)
            return 0.0
        return PORT_PATIENCE_S if await self._survivors.gather() else 0.0

    def _adopt(self, hello: adoption.Hello, descriptors: dict[str, int], connection: socket.socket) -> str:
        if self.stopping.is_set():
            return "everything stops"
        return self._survivors.adopt(hello, descriptors, connection)

    def _launcher(self, specs: Sequence[ActorSpec]) -> ProcessLauncher:
        spare = next((spec.spare for spec in specs if spec.spare), ())
        handles = self.handles
        return ProcessLauncher(
            handles.sockets, handles.lifeline, self.environ, handles.run_dir.path, spare, lambda: self.accepted
        )
