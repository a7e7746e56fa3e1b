"""One actor kept running: waits, starts again, restarts, rolls and stops it.

One task does all of it (`run`), so nothing here can race: what people ask for is queued to that task, and each
actor has its own, so no actor waits for another. The single steps are `life`'s.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from supervisor.actors.exits import unplanned
from supervisor.actors.life import Life, Run, Surroundings
from supervisor.actors.policy import Past
from supervisor.actors.states import ALIVE, Event, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from supervisor.actors.process import Process
    from supervisor.configuration.specs import ActorSpec


@dataclass(frozen=True)
class Report:
    """What came of something that was asked for, in words."""

    actor: str
    ok: bool
    text: str


@dataclass(eq=False)
class Request:
    """Something asked of the actor's task."""

    work: Callable[[], Awaitable[Report]]
    done: trio.Event = field(default_factory=trio.Event)
    report: Report | None = None


class Actor:
    """See the module. Everything but `run` may be called from any task, also before `run` has begun."""

    def __init__(self, spec: ActorSpec, around: Surroundings) -> None:
        self.life = Life(spec, around)
        self.current = Run()
        self.beside: Run | None = None  # while rolling: first the new one, then the old one
        self._requests: deque[Request] = deque()
        self._task = trio.CancelScope()  # what its task waits for just now
        self._busy = False  # with a request

    @property
    def spec(self) -> ActorSpec:
        return self.life.spec

    @property
    def runs(self) -> list[Run]:
        return [self.current] if self.beside is None else [self.current, self.beside]

    @property
    def processes(self) -> list[Process]:
        return [run.process for run in self.runs if run.process is not None]

    @property
    def busy(self) -> bool:
        """Whether something that was asked for is going on."""
        return self._busy or bool(self._requests)

    def adopt(self, process: Process, why: str) -> None:
        """Take over a process that a supervisor before this one has started; only while there is none."""
        life, run = self.life, self.current
        life.last_generation = max(life.last_generation, process.generation)
        life.take(run, process)
        life.advance(run, Event.START, why)
        if process.ready.is_set():
            life.ready(run, "it was ready already")
        life.around.changed()
        self._look_again()

    def condemn(self, process: Process, why: str) -> None:
        """Have a process that hangs ended and replaced."""
        run = self.current
        if run.process is process and run.state is State.READY and not run.condemned:
            run.condemned = why
            self._look_again()

    async def restart(self, why: str, timeout_s: float) -> Report:
        """Stop it, then start it; done when the new process is READY. Cancelling takes nothing back."""
        return await self._ask(lambda: self._restart(why, timeout_s))

    async def roll(self, why: str, timeout_s: float) -> Report:
        """Start a new process beside the old; stop the old once it is READY, else keep the old one."""
        return await self._ask(lambda: self._roll(why, timeout_s))

    async def stop(self, until: float) -> Report:
        """Stop it for good, by force at `until` (trio's clock); whatever else was going on gives way."""
        return await self._ask(lambda: self._stop(until), urgent=True)

    async def run(self, may_start: Callable[[], Awaitable[None]]) -> None:
        """Keep it running, for ever. It is first started when `may_start` returns.

        Cancelling is safe and leaves the process as it is.
        """
        while True:
            request = self._requests.popleft() if self._requests else None
            self._busy = request is not None
            with trio.CancelScope() as self._task:
                if request is None:
                    await self._keep(may_start)
                else:
                    request.report = await request.work()
            if request is not None:
                request.done.set()

    async def _ask(self, work: Callable[[], Awaitable[Report]], *, urgent: bool = False) -> Report:
        request = Request(work)
        if urgent:
            for other in self._requests:
                other.done.set()
            self._requests.clear()
        self._requests.append(request)
        if urgent or not self._busy:
            self._task.cancel()
        await request.done.wait()
        return request.report or self._report(ok=False, text="gave way to a stop")

    def _look_again(self) -> None:
        if not self._busy:
            self._task.cancel()

    async def _keep(self, may_start: Callable[[], Awaitable[None]]) -> None:
        """Do what the state of the current run asks for, until cancelled. All that it knows is in the run."""
        life = self.life
        while True:
            run = self.current
            if run.process is not None and run.condemned and run.state in ALIVE:
                await life.put_down(run, run.condemned)
                life.failed(run, run.condemned)
            elif run.state is State.INIT:
                await may_start()
                life.start(run, "its process has gone" if life.last_generation else "first start")
            elif run.state in (State.BACKOFF, State.FAILED):
                await trio.sleep_until(run.again_at)
                life.start(run, "started again", stand_in=life.past.streak == 1)
            elif run.state is State.STARTING:
                await self._come_up(run, run.since + self.spec.start_timeout_s)
            elif run.process is not None:
                life.failed(run, unplanned(await run.process.wait()))
            else:
                await trio.sleep_forever()

    async def _come_up(self, run: Run, until: float) -> str:
        """Wait for the current run to be READY, else deal with it and return why."""
        why = await self.life.until_ready(run, until)
        if why and run.process is not None and run.process.exit is None:
            run.condemned = why  # and `_keep` puts it down
        elif why:
            self.life.failed(run, why)
            why = self.life.around.history.last(self.spec.instance, 1)[0].why
        return why

    async def _restart(self, why: str, timeout_s: float) -> Report:
        life, run, before = self.life, self.current, self.current.process
        began = trio.current_time()
        await life.end(run, began + self.spec.stop_timeout_s, why)
        stopped_s = trio.current_time() - began
        life.past = Past()
        life.start(run, why)
        ended = f"stopped pid {before.pid} ({run.last_exit}) in {stopped_s:.2f} s; " if before else ""
        failure = await self._come_up(run, trio.current_time() + timeout_s)
        if failure:
            return self._report(ok=False, text=f"{ended}the new one did not come up: {failure}")
        return self._report(ok=True, text=f"{ended}started {described(run)}")

    async def _roll(self, why: str, timeout_s: float) -> Report:
        old, life = self.current, self.life
        if old.state is not State.READY:
            return await self._restart(why, timeout_s)
        self.beside = run = Run()
        life.start(run, why, beside=old.generation)
        failure = await life.until_ready(run, trio.current_time() + timeout_s)
        if failure:
            failure = await self._discard(run, failure)
            text = f"the new one did not come up: {failure}; the old one goes on"
            return self._report(ok=False, text=text)
        self.current, self.beside = run, old
        began = trio.current_time()
        until = began + self.spec.stop_timeout_s
        await life.end(old, until, f"generation {run.generation} takes over")
        self.beside = None
        ended = f"the old one ended ({old.last_exit}) after {trio.current_time() - began:.2f} s"
        return self._report(ok=True, text=f"started {described(run)}; {ended}")

    async def _discard(self, run: Run, why: str) -> str:
        """Be rid of a new process that did not come up beside the old one; return why, in its own words if it can."""
        life = self.life
        if run.process is not None and run.process.exit is None:
            await life.put_down(run, why)
        life.crashes += 1
        why = life.mourn(run, why)
        life.advance(run, Event.GIVE_UP, why)
        if run.process is not None:
            life.leave(run, await run.process.wait())
        self.beside = None
        return why

    async def _stop(self, until: float) -> Report:
        async with trio.open_nursery() as nursery:
            for run in self.runs:
                nursery.start_soon(self.life.end, run, until, "everything stops")
        self.beside = None
        return self._report(ok=True, text="stopped")

    def _report(self, *, ok: bool, text: str) -> Report:
        return Report(self.spec.instance, ok, text)


def described(run: Run) -> str:
    """Say which process a READY run has, and how long it took."""
    assert run.process is not None
    assert run.ready_at is not None
    took_s = run.ready_at - run.process.started_at
    return f"pid {run.process.pid} (generation {run.generation}), ready after {took_s:.2f} s"
