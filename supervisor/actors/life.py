"""The steps in the life of an actor's processes: start, become ready, end, fail. When to take them is `actor`'s.

What may follow what is `states`', whether and when to start again `policy`'s. Only the actor's own task calls these.
"""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from supervisor.actors.crashes import last_line
from supervisor.actors.exits import Exit, unplanned
from supervisor.actors.policy import Limits, Past, judge
from supervisor.actors.states import Event, State, advance
from supervisor.configuration.specs import next_generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.actors.crashes import CrashReports
    from supervisor.actors.launcher import Launcher
    from supervisor.actors.process import Process
    from supervisor.commands.history import History
    from supervisor.configuration.specs import ActorSpec

# From SIGABRT to SIGKILL: time enough to write a stack dump.
DUMP_S = 1.0
# A process that could not even be started "ended" like a shell says that it can't find a program.
NOT_STARTED = Exit(code=127)


@dataclass
class Run:
    """One process of the actor and where it is in its life; between two processes, what comes next."""

    state: State = State.INIT
    generation: int = 0
    process: Process | None = None
    since: float = 0.0  # trio's clock, when it came into this state
    ready_at: float | None = None
    again_at: float = math.inf  # when it starts again, in BACKOFF and FAILED
    condemned: str = ""  # why it is to be ended by force, or could not be started
    last_exit: Exit | None = None


@dataclass
class Surroundings:
    """What all actors share; the limits change with the configuration."""

    launcher: Launcher
    history: History
    limits: Limits
    crash_reports: CrashReports
    random: Callable[[], float]
    changed: Callable[[], None]  # a process came or went
    restarted: Callable[[ActorSpec], None]  # a process was replaced, planned or not


class Life:
    """The steps, and what is counted over all processes of one actor."""

    def __init__(self, spec: ActorSpec, around: Surroundings) -> None:
        self.spec = spec
        self.around = around
        self.last_generation = 0
        self.restarts = 0  # planned or not
        self.crashes = 0  # not planned
        self.past = Past()
        self.had_its_chance = trio.Event()  # it has been READY once, or has failed once

    def start(self, run: Run, why: str, *, beside: int | None = None, stand_in: bool = False) -> None:
        """Start a process; `beside` is the generation of one that still runs; `stand_in`: see `Launcher.start`. The run
        is STARTING in any case."""
        again = self.last_generation > 0
        self.last_generation = next_generation(self.last_generation, beside)
        self.restarts += again
        try:
            start = self.around.launcher.start
            self.take(run, start(self.spec, self.last_generation, beside=beside is not None, stand_in=stand_in))
            if run.process is not None and run.process.stands_in:
                why = f"{why}, by a spare"
        except OSError as error:
            run.generation, run.condemned = self.last_generation, f"it can't be started: {error}"
        self.advance(run, Event.START, why)
        self.around.changed()
        if again:
            self.around.restarted(self.spec)

    def take(self, run: Run, process: Process) -> None:
        """Make a process that run's; the transition is the caller's."""
        run.process, run.generation = process, process.generation
        run.ready_at, run.condemned, run.again_at = None, "", math.inf

    async def until_ready(self, run: Run, until: float) -> str:
        """Wait until a STARTING run is READY; else return why it is not, `until` being the end of patience.

        Cancelling is safe.
        """
        if run.process is None:
            return run.condemned
        ended = None
        with trio.move_on_at(until) as patience:
            ended = await ready_or_exit(run.process)
        if patience.cancelled_caught and not run.process.ready.is_set():
            return f"not ready {until - run.since:.1f} s after its start"
        if ended is not None:
            return unplanned(ended)
        self.ready(run, f"after {trio.current_time() - run.process.started_at:.2f} s")
        return ""

    def ready(self, run: Run, why: str) -> None:
        self.advance(run, Event.READY, why)
        run.ready_at = run.since
        self.had_its_chance.set()

    def failed(self, run: Run, why: str) -> None:
        """Take in that a process has ended that was not to end, and decide when it starts again."""
        now = trio.current_time()
        ended = NOT_STARTED if run.process is None else run.process.exit or Exit()
        self.crashes += 1
        self.had_its_chance.set()
        verdict, self.past = judge(
            self.around.limits,
            self.past,
            ended,
            ready_for_s=None if run.ready_at is None else now - run.ready_at,
            now=now,
            random=self.around.random,
        )
        why = self.mourn(run, why)
        again = "not again" if verdict.delay_s is None else f"again in {verdict.delay_s:.2f} s"
        event = Event.GIVE_UP if verdict.failed else Event.RETRY
        self.advance(run, event, f"{why}; {again} ({verdict.why})")
        run.again_at = math.inf if verdict.delay_s is None else now + verdict.delay_s
        self.leave(run, ended)

    def mourn(self, run: Run, why: str) -> str:
        """Write a crash report; return the reason together with what the process itself had to say."""
        if run.process is None:
            return why
        recent = self.around.history.last(self.spec.instance)
        ended = str(run.process.exit)
        self.around.crash_reports.write(run.process, why if ended in why else f"{why}; {ended}", recent)
        said = last_line(run.process)
        return f"{why} ({said})" if said else why

    async def put_down(self, run: Run, why: str) -> None:
        """End a process by force: SIGABRT, so that it writes its stack down, then SIGKILL. Safe to begin again."""
        process = run.process
        assert process is not None
        if run.state is not State.STOPPING:
            self.advance(run, Event.ABORT, why)
        process.signal(signal.SIGABRT)
        # A stopped process takes no signal but SIGKILL until it goes on.
        process.signal(signal.SIGCONT)
        with trio.move_on_at(run.since + DUMP_S):
            await process.wait()
        process.kill()
        await process.wait()

    async def end(self, run: Run, until: float, why: str) -> None:
        """Have a run end as is wanted: SIGTERM, and SIGKILL at `until`. Safe to begin again when cancelled."""
        process = run.process
        if process is None:
            if run.state is State.STARTING:
                self.advance(run, Event.GIVE_UP, run.condemned)
            self.advance(run, Event.STOP, why)
            return
        if run.state is State.READY:
            self.advance(run, Event.DRAIN, why)
        elif run.state is State.STARTING:
            self.advance(run, Event.STOP, why)
        process.signal(signal.SIGTERM)
        with trio.move_on_at(min(until, trio.current_time() + DUMP_S) if run.condemned else until):
            await process.wait()
        if process.exit is None:
            self.advance(run, Event.ABORT, "it did not end in time")
            process.kill()
        ended = await process.wait()
        self.advance(run, Event.GONE, str(ended))
        self.leave(run, ended)

    def leave(self, run: Run, ended: Exit) -> None:
        """Let go of a process that has ended."""
        if run.process is not None:
            run.process.close()
            run.process = None
        run.condemned, run.last_exit = "", ended
        self.around.changed()

    def advance(self, run: Run, event: Event, why: str) -> None:
        before, run.state = run.state, advance(run.state, event)
        run.since = trio.current_time()
        self.around.history.record(
            self.spec.instance,
            why,
            generation=run.generation,
            pid=None if run.process is None else run.process.pid,
            before=before.value,
            after=run.state.value,
        )


async def ready_or_exit(process: Process) -> Exit | None:
    """Wait until a process is READY (None) or has ended (how). Cancelling is safe."""
    async with trio.open_nursery() as nursery:

        async def until_exit() -> None:
            await process.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_exit)
        await process.ready.wait()
        nursery.cancel_scope.cancel()
    return None if process.ready.is_set() else process.exit
