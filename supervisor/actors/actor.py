"""Keeps one actor running: starts it again after a crash, restarts, rolls and stops it on request.

One task does all of that (`run`), so there are no races: requests are queued to that task. Each actor has a task of its
own, so no actor waits for another. `life` carries out the single steps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from supervisor.actors.exits import describe_unplanned
from supervisor.actors.life import Life, Run, Shared
from supervisor.actors.policy import Failures
from supervisor.actors.states import ALIVE, Event, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from supervisor.actors.process import Process
    from supervisor.configuration.specs import ActorSpec


@dataclass(frozen=True)
class Report:
    """Tells in words what came of a request."""

    actor: str
    ok: bool
    text: str


@dataclass(eq=False)
class Request:
    """Is a request to the actor's task; `report` is None until `done`, and of a request that a stop has cancelled."""

    work: Callable[[], Awaitable[Report]]
    done: trio.Event = field(default_factory=trio.Event)
    report: Report | None = None


class Actor:
    """Keeps one actor running. Every method but `run` may be called from any task, also before `run`.

    Attributes:
        beside: while rolling, the second run: first the new one, then the old one.
    """

    def __init__(self, spec: ActorSpec, shared: Shared) -> None:
        self.life = Life(spec, shared)
        self.current = Run()
        self.beside: Run | None = None
        self._requests: deque[Request] = deque()
        self._task = trio.CancelScope()  # around what the task waits for at the moment
        self._busy = False  # the task carries out a request

    @property
    def spec(self) -> ActorSpec:
        """Return the spec, as the last reload has left it."""
        return self.life.spec

    @property
    def runs(self) -> list[Run]:
        """Return the current run, and while rolling the second."""
        return [self.current] if self.beside is None else [self.current, self.beside]

    @property
    def processes(self) -> list[Process]:
        """Return the processes that have not ended."""
        return [run.process for run in self.runs if run.process is not None]

    @property
    def busy(self) -> bool:
        """Return whether a request is carried out or waits."""
        return self._busy or bool(self._requests)

    def adopt(self, process: Process, why: str) -> None:
        """Take over a process that a supervisor before this one has started; the actor must have none."""
        life, run = self.life, self.current
        life.last_generation = max(life.last_generation, process.generation)
        life.attach(run, process)
        life.advance(run, Event.START, why)
        if process.ready.is_set():
            life.ready(run, "it was ready already")
        life.shared.on_change()
        self._wake()

    def abort(self, process: Process, why: str) -> None:
        """End a process that hangs by force, and replace it."""
        run = self.current
        if run.process is process and run.state is State.READY and not run.abort_reason:
            run.abort_reason = why
            self._wake()

    async def restart(self, why: str, timeout_s: float) -> Report:
        """Stop it, then start it; return when the new process is READY, or is not after `timeout_s`.

        Cancelling takes nothing back.
        """
        return await self._ask(lambda: self._restart(why, timeout_s))

    async def roll(self, why: str, timeout_s: float) -> Report:
        """Start a new process; once that is READY stop the old one, else keep the old one.

        Cancelling takes nothing back.
        """
        return await self._ask(lambda: self._roll(why, timeout_s))

    async def stop(self, until: float) -> Report:
        """Stop it for good, by force at `until` (trio's clock). Requests that are carried out or wait are cancelled."""
        return await self._ask(lambda: self._stop(until), urgent=True)

    async def run(self, may_start: Callable[[], Awaitable[None]]) -> None:
        """Keep it running, for ever; it is started for the first time when `may_start` returns.

        Cancelling is safe and leaves the process as it is.
        """
        while True:
            request = self._requests.popleft() if self._requests else None
            self._busy = request is not None
            with trio.CancelScope() as self._task:
                if request is None:
                    await self._supervise(may_start)
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

    def _wake(self) -> None:
        if not self._busy:
            self._task.cancel()

    async def _supervise(self, may_start: Callable[[], Awaitable[None]]) -> None:
        """Take the step that follows from the state of the current run, again and again, until cancelled."""
        life = self.life
        while True:
            run = self.current
            if run.process is not None and run.abort_reason and run.state in ALIVE:
                await life.abort(run, run.abort_reason)
                life.failed(run, run.abort_reason)
            elif run.state is State.INIT:
                await may_start()
                life.start(run, "its process has gone" if life.last_generation else "first start")
            elif run.state in (State.BACKOFF, State.FAILED):
                await trio.sleep_until(run.again_at)
                life.start(run, "started again", use_spare=life.failures.streak == 1)
            elif run.state is State.STARTING:
                await self._await_ready(run, run.since + self.spec.start_timeout_s)
            elif run.process is not None:
                life.failed(run, describe_unplanned(await run.process.wait()))
            else:
                await trio.sleep_forever()

    async def _await_ready(self, run: Run, until: float) -> str:
        """Wait until the current run is READY and return ""; else record its failure and return why."""
        why = await self.life.until_ready(run, until)
        if why and run.process is not None and run.process.exit is None:
            run.abort_reason = why  # `_supervise` aborts it
        elif why:
            self.life.failed(run, why)
            why = self.life.shared.history.last(self.spec.instance, 1)[0].why
        return why

    async def _restart(self, why: str, timeout_s: float) -> Report:
        life, run, before = self.life, self.current, self.current.process
        began = trio.current_time()
        await life.end(run, began + self.spec.stop_timeout_s, why)
        stopped_s = trio.current_time() - began
        life.failures = Failures()
        life.start(run, why)
        ended = f"stopped pid {before.pid} ({run.last_exit}) in {stopped_s:.2f} s; " if before else ""
        failure = await self._await_ready(run, trio.current_time() + timeout_s)
        if failure:
            return self._report(ok=False, text=f"{ended}the new one did not come up: {failure}")
        return self._report(ok=True, text=f"{ended}started {describe(run)}")

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
        return self._report(ok=True, text=f"started {describe(run)}; {ended}")

    async def _discard(self, run: Run, why: str) -> str:
        """End a new process that did not become READY beside the old one; return why, with the last line of its crash
        log."""
        life = self.life
        if run.process is not None and run.process.exit is None:
            await life.abort(run, why)
        life.crashes += 1
        why = life.report_crash(run, why)
        life.advance(run, Event.GIVE_UP, why)
        if run.process is not None:
            life.release(run, await run.process.wait())
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


def describe(run: Run) -> str:
    """Return in words which process a READY run has, and how long its start took."""
    assert run.process is not None
    assert run.ready_at is not None
    took_s = run.ready_at - run.process.started_at
    return f"pid {run.process.pid} (generation {run.generation}), ready after {took_s:.2f} s"
