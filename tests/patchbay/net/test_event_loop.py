"""Chores are done when they are due and at no other time; they belong to their tasks; trio goes on beside them."""

from __future__ import annotations

import gc
import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel

from patchbay.net import event_loop
from patchbay.net.event_loop import NOW, Callback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from trio.testing import MockClock

TICK_S = 0.005


@pytest.fixture(params=["hosted", "in a task"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Where a loop of ours runs, and where none does."""
    return event_loop.run if request.param == "hosted" else trio.run


@pytest.fixture
def bell() -> Iterator[int]:
    """A descriptor that is readable when it has been rung."""
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def test_a_readable_descriptor_has_its_chore_done(run: Callable[..., None], bell: int) -> None:
    """Once for each time it is rung, and not before."""
    heard: list[int] = []

    async def main() -> None:
        done = trio.Event()

        def work() -> None:
            heard.append(os.eventfd_read(bell))
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(Callback(work, bell).run)
            await trio.sleep(TICK_S)
            assert heard == []
            for count in (1, 2):
                done = trio.Event()
                os.eventfd_write(bell, count)
                await done.wait()
            nursery.cancel_scope.cancel()

    run(main)
    assert heard == [1, 2]


def test_while_it_waits_for_a_time_its_descriptor_wakes_nobody(run: Callable[..., None], bell: int) -> None:
    """What is readable all along is looked at when the time has come, and then as ever."""
    done: list[float] = []

    async def main() -> None:
        enough = trio.Event()

        def work() -> float | None:
            done.append(trio.current_time())
            if len(done) == 3:
                os.eventfd_read(bell)
                enough.set()
                return None
            return trio.current_time() + 4 * TICK_S

        os.eventfd_write(bell, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Callback(work, bell).run)
            await enough.wait()
            await trio.sleep(4 * TICK_S)
            nursery.cancel_scope.cancel()

    run(main)
    assert len(done) == 3
    assert all(later - earlier > 4 * TICK_S - 2 * event_loop.CLOCK_RESOLUTION_S for earlier, later in pairwise(done))


def test_a_chore_without_a_descriptor_is_planned(run: Callable[..., None]) -> None:
    """Before it is run, while it waits, and from within itself."""
    done: list[str] = []

    async def main() -> None:
        enough = trio.Event()

        def work() -> None:
            done.append("done")
            if len(done) == 2:
                callback.schedule()
            if len(done) == 3:
                enough.set()

        callback = Callback(work)
        callback.schedule()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(callback.run)
            await trio.sleep(TICK_S)
            assert len(done) == 1
            callback.schedule()
            await enough.wait()
            await trio.sleep(TICK_S)
            nursery.cancel_scope.cancel()
        callback.schedule()

    run(main)
    assert len(done) == 3


def test_a_fault_is_its_tasks(run: Callable[..., None], bell: int) -> None:
    """It is raised there, the callback is not done again, and others go on."""
    done: list[str] = []

    async def main() -> None:
        os.eventfd_write(bell, 1)

        def work() -> None:
            done.append("bad")
            raise ValueError("ours")

        def other() -> float:
            done.append("good")
            return trio.current_time() + TICK_S

        async with trio.open_nursery() as nursery:
            good = Callback(other)
            good.schedule()
            nursery.start_soon(good.run)
            with pytest.raises(ValueError, match="ours"):
                await Callback(work, bell).run()
            before = done.count("good")
            await trio.sleep(4 * TICK_S)
            assert done.count("good") > before
            nursery.cancel_scope.cancel()

    run(main)
    assert done.count("bad") == 1


def test_a_cancelled_chore_is_done_no_more(run: Callable[..., None], bell: int) -> None:
    """Its descriptor may be another's a moment later."""
    done: list[str] = []

    def work() -> None:
        os.eventfd_read(bell)
        done.append("done")

    async def main() -> None:
        with trio.move_on_after(TICK_S):
            await Callback(work, bell).run()
        os.eventfd_write(bell, 1)
        await trio.sleep(TICK_S)
        assert done == []
        with trio.move_on_after(TICK_S):
            await Callback(work, bell).run()

    run(main)
    assert done == ["done"]


def test_a_busy_chore_leaves_trio_its_turns(run: Callable[..., None]) -> None:
    """It wants to be done for ever; everything else goes on."""

    async def main() -> None:
        callback = Callback(lambda: NOW)
        callback.schedule()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(callback.run)
            for _ in range(10):
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()

    run(main)


def test_what_ends_trio_ends_the_loop() -> None:
    """With what it raised, and without anything left behind."""
    gc.collect()  # what earlier tests left
    before = len(list(Path("/proc/self/fd").iterdir()))

    async def main() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("gone")

    for _ in range(3):
        with pytest.raises(KeyError, match="gone"):
            event_loop.run(main)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_signal_reaches_trio() -> None:
    """While the loop waits for nothing else."""

    async def main() -> None:
        with trio.open_signal_receiver(signal.SIGUSR1) as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            with trio.fail_after(5):
                assert await signals.__anext__() == signal.SIGUSR1

    event_loop.run(main)


def test_the_soonest_plan_counts(run: Callable[..., None]) -> None:
    """Whatever was planned before, and whatever the work itself says."""
    done: list[float] = []

    async def main() -> None:
        enough = trio.Event()

        def work() -> float:
            done.append(trio.current_time())
            if len(done) == 2:
                enough.set()
            callback.schedule(trio.current_time() + 4 * TICK_S)
            callback.schedule(trio.current_time() + 60)
            return trio.current_time() + 30

        callback = Callback(work)
        callback.schedule(trio.current_time() + 60)
        callback.schedule(trio.current_time() + 4 * TICK_S)
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(callback.run)
            await enough.wait()
            nursery.cancel_scope.cancel()
        assert done[0] - begun > 4 * TICK_S - 2 * event_loop.CLOCK_RESOLUTION_S
        assert done[1] - done[0] > 4 * TICK_S - 2 * event_loop.CLOCK_RESOLUTION_S

    run(main)
    assert len(done) == 2


async def test_without_a_loop_times_are_trios(autojump_clock: MockClock) -> None:
    """As in tests: nothing waits for real."""
    done: list[float] = []

    def work() -> float:
        done.append(trio.current_time())
        return trio.current_time() + 60

    callback = Callback(work)
    callback.schedule()
    with trio.move_on_after(150):
        await callback.run()
    assert [when - done[0] for when in done] == [0, 60, 120]
