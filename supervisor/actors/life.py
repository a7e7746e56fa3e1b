"""Carries out the steps in the life of an actor's processes: start, become ready, end, fail.

`actor` decides when, `states` which step may follow, `policy` whether and when to start again. Only the actor's own
task calls these functions.
"""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from supervisor.actors.crashes import last_line
from supervisor.actors.exits import Exit, describe_unplanned
from supervisor.actors.policy import Failures, Limits, decide
from supervisor.actors.states import Event, State, advance
from supervisor.configuration.specs import next_generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.actors.crashes import CrashReports
    from supervisor.actors.launcher import Launcher
    from supervisor.actors.process import Process
    from supervisor.configuration.specs import ActorSpec
    from supervisor.history import History

# From SIGABRT to SIGKILL, for the stack dump.
DUMP_S = 1.0
# The exit status, as a shell gives it, of a process that could not be started.
NOT_STARTED = Exit(code=127)


@dataclass
class Run:
    """Holds the state of one process of the actor; between two processes, when the next is started.

    Attributes:
        since: trio's clock, when the run came into its state.
        ready_at: trio's clock; None: the process was not READY yet.
        again_at: trio's clock, when the next process is started, in BACKOFF and FAILED.
        abort_reason: why the process is ended by force, or could not be started.
    """

    state: State = State.INIT
    generation: int = 0
    process: Process | None = None
    since: float = 0.0
    ready_at: float | None = None
    again_at: float = math.inf
    abort_reason: str = ""
    last_exit: Exit | None = None


@dataclass
class Shared:
    """Holds what all actors share. `limits` and `crash_reports` change with the configuration."""

    launcher: Launcher
    history: History
    limits: Limits
    crash_reports: CrashReports
    random: Callable[[], float]
    on_change: Callable[[], None]  # a process was started or has ended
    on_restart: Callable[[ActorSpec], None]  # a process was started after another one


class Life:
    """Carries out the steps of one actor, and counts over all its processes.

    Attributes:
        restarts: starts after the first, planned or not.
        crashes: ends that were not requested.
        first_outcome: set when the actor has been READY once, or has failed once.
    """

    def __init__(self, spec: ActorSpec, shared: Shared) -> None:
        self.spec = spec
        self.shared = shared
        self.last_generation = 0
        self.restarts = 0
        self.crashes = 0
        self.failures = Failures()
        self.first_outcome = trio.Event()

    def start(self, run: Run, why: str, *, beside: int | None = None, use_spare: bool = False) -> None:
        """Start a process. The run is STARTING afterwards in any case.

        Args:
            beside: the generation of a process that still runs.
            use_spare: see `Launcher.start`.
        """
        again = self.last_generation > 0
        self.last_generation = next_generation(self.last_generation, beside)
        self.restarts += again
        try:
            start = self.shared.launcher.start
            self.attach(run, start(self.spec, self.last_generation, beside=beside is not None, use_spare=use_spare))
            if run.process is not None and run.process.is_spare:
                why = f"{why}, by a spare"
        except OSError as error:
            run.generation, run.abort_reason = self.last_generation, f"it can't be started: {error}"
        self.advance(run, Event.START, why)
        self.shared.on_change()
        if again:
            self.shared.on_restart(self.spec)

    def attach(self, run: Run, process: Process) -> None:
        """Give a process to a run; the caller makes the transition."""
        run.process, run.generation = process, process.generation
        run.ready_at, run.abort_reason, run.again_at = None, "", math.inf

    async def until_ready(self, run: Run, until: float) -> str:
        """Wait until a STARTING run is READY and return ""; else return why it is not. Cancelling is safe.

        Args:
            until: trio's clock; a process that is not READY then has failed.
        """
        if run.process is None:
            return run.abort_reason
        ended = None
        with trio.move_on_at(until) as timeout:
            ended = await ready_or_exit(run.process)
        if timeout.cancelled_caught and not run.process.ready.is_set():
            return f"not ready {until - run.since:.1f} s after its start"
        if ended is not None:
            return describe_unplanned(ended)
        self.ready(run, f"after {trio.current_time() - run.process.started_at:.2f} s")
        return ""

    def ready(self, run: Run, why: str) -> None:
        """Make a STARTING run READY."""
        self.advance(run, Event.READY, why)
        run.ready_at = run.since
        self.first_outcome.set()

    def failed(self, run: Run, why: str) -> None:
        """Record the end of a process that was not requested, and decide when the next is started."""
        now = trio.current_time()
        ended = NOT_STARTED if run.process is None else run.process.exit or Exit()
        self.crashes += 1
        self.first_outcome.set()
        decision, self.failures = decide(
            self.shared.limits,
            self.failures,
            ended,
            ready_for_s=None if run.ready_at is None else now - run.ready_at,
            now=now,
            random=self.shared.random,
        )
        why = self.report_crash(run, why)
        again = "not again" if decision.delay_s is None else f"again in {decision.delay_s:.2f} s"
        event = Event.GIVE_UP if decision.failed else Event.RETRY
        self.advance(run, event, f"{why}; {again} ({decision.why})")
        run.again_at = math.inf if decision.delay_s is None else now + decision.delay_s
        self.release(run, ended)

    def report_crash(self, run: Run, why: str) -> str:
        """Write a crash report; return the reason together with the last line of the crash log."""
        if run.process is None:
            return why
        recent = self.shared.history.last(self.spec.instance)
        ended = str(run.process.exit)
        self.shared.crash_reports.write(run.process, why if ended in why else f"{why}; {ended}", recent)
        said = last_line(run.process)
        return f"{why} ({said})" if said else why

    async def abort(self, run: Run, why: str) -> None:
        """End a process by force: SIGABRT, so that it dumps its stack, then SIGKILL. May be called again when
        cancelled."""
        process = run.process
        assert process is not None
        if run.state is not State.STOPPING:
            self.advance(run, Event.ABORT, why)
        process.signal(signal.SIGABRT)
        # A stopped process handles SIGABRT once it goes on.
        process.signal(signal.SIGCONT)
        with trio.move_on_at(run.since + DUMP_S):
            await process.wait()
        process.kill()
        await process.wait()

    async def end(self, run: Run, until: float, why: str) -> None:
        """End a run as requested: SIGTERM, and SIGKILL at `until` (trio's clock). May be called again when
        cancelled."""
        process = run.process
        if process is None:
            if run.state is State.STARTING:
                self.advance(run, Event.GIVE_UP, run.abort_reason)
            self.advance(run, Event.STOP, why)
            return
        if run.state is State.READY:
            self.advance(run, Event.DRAIN, why)
        elif run.state is State.STARTING:
            self.advance(run, Event.STOP, why)
        process.signal(signal.SIGTERM)
        with trio.move_on_at(min(until, trio.current_time() + DUMP_S) if run.abort_reason else until):
            await process.wait()
        if process.exit is None:
            self.advance(run, Event.ABORT, "it did not end in time")
            process.kill()
        ended = await process.wait()
        self.advance(run, Event.GONE, str(ended))
        self.release(run, ended)

    def release(self, run: Run, ended: Exit) -> None:
        """Close the handles of a process that has ended."""
        if run.process is not None:
            run.process.close()
            run.process = None
        run.abort_reason, run.last_exit = "", ended
        self.shared.on_change()

    def advance(self, run: Run, event: Event, why: str) -> None:
        """Make a transition and record it.

        Raises:
            IllegalTransitionError: see `states.advance`.
        """
        before, run.state = run.state, advance(run.state, event)
        run.since = trio.current_time()
        self.shared.history.record(
            self.spec.instance,
            why,
            generation=run.generation,
            pid=None if run.process is None else run.process.pid,
            before=before.value,
            after=run.state.value,
        )


async def ready_or_exit(process: Process) -> Exit | None:
    """Wait until a process is READY or has ended; return None or how it ended. Cancelling is safe."""
    async with trio.open_nursery() as nursery:

        async def until_exit() -> None:
            await process.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_exit)
        await process.ready.wait()
        nursery.cancel_scope.cancel()
    return None if process.ready.is_set() else process.exit
