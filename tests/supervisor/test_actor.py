"""One actor kept running, with processes that are none."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.actors.actor import Actor, Report
from supervisor.actors.exits import Exit
from supervisor.actors.states import State
from tests.supervisor.fakes import SPEC, FakeProcess, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

CRASH = Exit(signal=signal.SIGSEGV)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@asynccontextmanager
async def running(world: World, actor: Actor | None = None) -> AsyncIterator[Actor]:
    actor = actor or Actor(SPEC, world.shared)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run, trio.lowlevel.checkpoint)
        await wait_all_tasks_blocked()
        yield actor
        nursery.cancel_scope.cancel()


def state(actor: Actor) -> State:
    return actor.current.state


def asked(nursery: trio.Nursery, ask: Callable[[], Awaitable[Report]]) -> list[Report]:
    """Ask, and go on; the answer will be in the list."""
    answers: list[Report] = []

    async def answer() -> None:
        answers.append(await ask())

    nursery.start_soon(answer)
    return answers


async def test_it_is_started_and_becomes_ready(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{"ready": False}]
    async with running(world) as actor:
        assert state(actor) is State.STARTING
        assert not actor.life.first_outcome.is_set()
        world.launcher.started[0].ready.set()
        await wait_all_tasks_blocked()
        assert state(actor) is State.READY
        assert actor.life.first_outcome.is_set()
        assert (actor.life.restarts, actor.life.crashes) == (0, 0)


async def test_it_waits_until_it_may_start(world: World) -> None:
    allowed = trio.Event()
    actor = Actor(SPEC, world.shared)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run, allowed.wait)
        await wait_all_tasks_blocked()
        assert state(actor) is State.INIT
        allowed.set()
        await wait_all_tasks_blocked()
        assert state(actor) is State.READY
        nursery.cancel_scope.cancel()


async def test_a_crash_is_mended_at_once(world: World, autojump_clock: object) -> None:
    async with running(world) as actor:
        began = trio.current_time()
        world.launcher.started[0].words = b"what\nIndexError: boom\n"
        world.launcher.started[0].end(CRASH)
        await wait_all_tasks_blocked()
        assert state(actor) is State.READY
        assert trio.current_time() == began
        assert actor.current.generation == 2
        assert (actor.life.restarts, actor.life.crashes) == (1, 1)
        assert world.launcher.started[0].closed
        assert world.restarted == [SPEC.instance]
        (report,) = world.crashes.iterdir()
        assert "reason: killed by SIGSEGV\n" in report.read_text()
        assert "IndexError: boom" in report.read_text()
        assert any("IndexError: boom" in entry.why for entry in world.history.last())


async def test_a_crash_loop_backs_off_and_is_failed(world: World, autojump_clock: object) -> None:
    async with running(world) as actor:
        for _ in range(5):
            world.launcher.started[-1].end(CRASH)
            await actor.life.shared.history.wait_changed()
            while state(actor) is not State.READY:
                await world.history.wait_changed()
            await wait_all_tasks_blocked()
        world.launcher.started[-1].end(CRASH)
        await wait_all_tasks_blocked()
        assert state(actor) is State.FAILED
        assert actor.current.again_at - trio.current_time() == pytest.approx(30)
        await trio.sleep(30.1)
        assert state(actor) is State.READY


async def test_a_configuration_error_waits_to_be_asked(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{"ready": False}, {}]
    async with running(world) as actor:
        world.launcher.started[0].end(Exit(code=78))
        await trio.sleep(3600)
        assert state(actor) is State.FAILED
        assert (await actor.restart("mended", 5)).ok
        assert state(actor) is State.READY


async def test_what_can_not_be_started_is_tried_again(world: World, autojump_clock: object) -> None:
    world.launcher.broken = True
    async with running(world) as actor:
        assert state(actor) is State.BACKOFF
        assert "can't be started" in world.history.last()[-1].why
        world.launcher.broken = False
        await trio.sleep(1)
        assert state(actor) is State.READY


async def test_one_that_is_not_ready_in_time_is_put_down(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{"ready": False, "obedient": False}, {}]
    async with running(world) as actor:
        await trio.sleep(SPEC.start_timeout_s + 2)
        first = world.launcher.started[0]
        assert first.signals == [signal.SIGABRT, signal.SIGCONT, signal.SIGKILL]
        assert state(actor) is State.READY


async def test_one_that_hangs_is_put_down(world: World, autojump_clock: object) -> None:
    async with running(world) as actor:
        first = world.launcher.started[0]
        actor.abort(first, "hung: silent")
        actor.abort(first, "again")
        await wait_all_tasks_blocked()
        assert first.signals[0] == signal.SIGABRT
        assert state(actor) is State.READY
        assert actor.life.crashes == 1
        assert "hung: silent; killed by SIGABRT" in next(world.crashes.iterdir()).read_text()
        actor.abort(first, "it is not even there any more")
        await wait_all_tasks_blocked()
        assert actor.current.generation == 2


async def test_restart(world: World, autojump_clock: object) -> None:
    async with running(world) as actor:
        report = await actor.restart("asked for", 5)
        assert report.ok
        assert "stopped pid 1001 (exit status 0)" in report.text
        assert "pid 1002 (generation 2)" in report.text
        assert world.transitions() == [
            "STARTING",
            "READY",
            "DRAINING",
            "STOPPED",
            "STARTING",
            "READY",
        ]
        assert (actor.life.restarts, actor.life.crashes) == (1, 0)


async def test_restart_of_one_that_does_not_listen(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{"obedient": False}, {}]
    async with running(world) as actor:
        began = trio.current_time()
        assert (await actor.restart("asked for", 5)).ok
        assert trio.current_time() - began == pytest.approx(SPEC.stop_timeout_s)
        assert world.launcher.started[0].signals == [signal.SIGTERM, signal.SIGKILL]


async def test_restart_says_why_it_failed(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{}, {"ready": False}]
    async with running(world) as actor, trio.open_nursery() as nursery:
        answers = asked(nursery, lambda: actor.restart("asked for", 5))
        await wait_all_tasks_blocked()
        world.launcher.started[1].words = b"patchbay: no such key\n"
        world.launcher.started[1].end(Exit(code=78))
        await wait_all_tasks_blocked()
        assert not answers[0].ok
        assert "exit status 78" in answers[0].text
        assert "no such key" in answers[0].text
        assert state(actor) is State.FAILED


async def test_restart_whose_new_process_is_late(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{}, {"ready": False}, {}]
    async with running(world) as actor:
        report = await actor.restart("asked for", 5)
        assert not report.ok
        assert "not ready" in report.text
        await trio.sleep(1)
        assert state(actor) is State.READY


async def test_two_restarts_follow_each_other(world: World, autojump_clock: object) -> None:
    async with running(world) as actor, trio.open_nursery() as nursery:
        answers = asked(nursery, lambda: actor.restart("one", 5))
        assert (await actor.restart("two", 5)).ok
        await wait_all_tasks_blocked()
        assert answers[0].ok
        assert actor.current.generation == 3


async def test_roll(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{}, {"ready": False}]
    async with running(world) as actor, trio.open_nursery() as nursery:
        answers = asked(nursery, lambda: actor.roll("asked for", 5))
        await wait_all_tasks_blocked()
        old, new = world.launcher.started
        assert (old.beside, new.beside) == (False, True)
        assert [run.state for run in actor.runs] == [State.READY, State.STARTING]
        assert old.signals == []
        new.ready.set()
        await wait_all_tasks_blocked()
        assert answers[0].ok
        assert old.signals == [signal.SIGTERM]
        assert [run.process for run in actor.runs] == [new]
        assert (actor.life.restarts, actor.life.crashes) == (1, 0)


async def test_roll_of_an_old_one_that_does_not_end(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{"obedient": False}, {}]
    async with running(world) as actor:
        assert (await actor.roll("asked for", 5)).ok
        assert world.launcher.started[0].signals == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize("late", [True, False])
async def test_a_roll_that_fails_leaves_the_old_one(world: World, autojump_clock: object, late: bool) -> None:
    world.launcher.next_ones = [{}, {"ready": False}, {}]
    async with running(world) as actor, trio.open_nursery() as nursery:
        answers = asked(nursery, lambda: actor.roll("asked for", 5))
        await wait_all_tasks_blocked()
        if late:
            await trio.sleep(6)
        else:
            world.launcher.started[1].words = b"ImportError: no\n"
            world.launcher.started[1].end(Exit(code=1))
            await wait_all_tasks_blocked()
        assert not answers[0].ok
        assert "the old one goes on" in answers[0].text
        assert ("not ready 5.0 s" if late else "exit status 1 (ImportError: no)") in answers[0].text
        old, new = world.launcher.started
        assert (old.signals, old.exit) == ([], None)
        assert new.closed
        assert [run.process for run in actor.runs] == [old]
        # The next one is in the other slot than the old one all the same.
        assert (await actor.roll("again", 5)).ok
        assert actor.current.generation == 4


async def test_a_roll_that_can_not_start_leaves_the_old_one(world: World) -> None:
    async with running(world) as actor:
        world.launcher.broken = True
        report = await actor.roll("asked for", 5)
        assert not report.ok
        assert "can't be started" in report.text
        assert state(actor) is State.READY


async def test_the_old_one_may_crash_during_a_roll(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{}, {"ready": False}]
    async with running(world) as actor, trio.open_nursery() as nursery:
        answers = asked(nursery, lambda: actor.roll("asked for", 5))
        await wait_all_tasks_blocked()
        world.launcher.started[0].end(CRASH)
        world.launcher.started[1].ready.set()
        await wait_all_tasks_blocked()
        assert answers[0].ok
        assert state(actor) is State.READY


async def test_a_roll_of_one_that_is_not_ready_is_a_restart(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{"ready": False}, {}]
    async with running(world) as actor:
        assert (await actor.roll("asked for", 5)).ok
        assert world.launcher.started[0].exit == Exit(code=0)


async def test_stop(world: World, autojump_clock: object) -> None:
    async with running(world) as actor:
        assert (await actor.stop(trio.current_time() + 4)).ok
        assert state(actor) is State.STOPPED
        assert actor.processes == []
        await trio.sleep(100)
        assert state(actor) is State.STOPPED
        assert (await actor.stop(trio.current_time() + 4)).ok


async def test_stop_has_a_deadline(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{"obedient": False}]
    async with running(world) as actor:
        began = trio.current_time()
        await actor.stop(began + 2)
        assert trio.current_time() - began == pytest.approx(2)
        assert state(actor) is State.STOPPED


async def test_stop_before_the_start(world: World) -> None:
    actor = Actor(SPEC, world.shared)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run, trio.sleep_forever)
        await actor.stop(trio.current_time() + 4)
        nursery.cancel_scope.cancel()
    assert state(actor) is State.STOPPED
    assert world.launcher.started == []


async def test_stop_while_it_backs_off(world: World, autojump_clock: object) -> None:
    world.launcher.broken = True
    async with running(world) as actor:
        await actor.stop(trio.current_time() + 4)
        assert state(actor) is State.STOPPED


async def test_stop_interrupts_a_roll_and_what_waits_behind_it(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{}, {"ready": False}]
    async with running(world) as actor, trio.open_nursery() as nursery:
        roll = asked(nursery, lambda: actor.roll("asked for", 500))
        await wait_all_tasks_blocked()
        behind = asked(nursery, lambda: actor.restart("asked for", 500))
        await wait_all_tasks_blocked()
        await actor.stop(trio.current_time() + 4)
        await wait_all_tasks_blocked()
        assert [each.closed for each in world.launcher.started] == [True, True]
        assert not roll[0].ok
        assert not behind[0].ok


async def test_a_second_stop_is_quicker(world: World, autojump_clock: object) -> None:
    world.launcher.next_ones = [{"obedient": False}]
    async with running(world) as actor, trio.open_nursery() as nursery:
        began = trio.current_time()
        asked(nursery, lambda: actor.stop(began + 100))
        await wait_all_tasks_blocked()
        await actor.stop(began)
        assert trio.current_time() == began
        assert state(actor) is State.STOPPED


@pytest.mark.parametrize("ready", [True, False])
async def test_adoption(world: World, autojump_clock: object, ready: bool) -> None:
    actor = Actor(SPEC, world.shared)
    process = FakeProcess(SPEC, 7, ready=ready, obedient=True)
    actor.adopt(process, "adopted")
    async with running(world, actor):
        assert state(actor) is (State.READY if ready else State.STARTING)
        assert actor.life.restarts == 0
        process.end(Exit())
        await trio.sleep(1)
        assert actor.current.generation == 8
        assert actor.life.restarts == 1


async def test_adoption_of_a_late_one(world: World, autojump_clock: object) -> None:
    world.launcher.broken = True
    async with running(world) as actor:
        assert state(actor) is State.BACKOFF
        actor.adopt(FakeProcess(SPEC, 7, ready=True, obedient=True), "adopted")
        await trio.sleep(100)
        assert state(actor) is State.READY
