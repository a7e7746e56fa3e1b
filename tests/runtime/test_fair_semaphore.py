"""A semaphore by turns, and bytes in flight: who asks for much waits for himself, who takes long goes first."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from actors.runtime.fair_semaphore import FairSemaphore
from actors.runtime.in_flight import InFlight
from tests.fakes.work import steps


async def test_peers_take_turns_however_many_one_asks_for() -> None:
    """In order within one of them."""
    turns, had = FairSemaphore(), list[str]()

    async def ask(key: str, name: str) -> None:
        async with turns.turn(key):
            had.append(name)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        async with turns.turn("x"):
            for number in range(5):
                nursery.start_soon(ask, "flood", f"flood {number}")
                await wait_all_tasks_blocked()
            for key in ("a", "b"):
                nursery.start_soon(ask, key, key)
                await wait_all_tasks_blocked()
    assert had == ["flood 0", "a", "b", "flood 1", "flood 2", "flood 3", "flood 4"]


async def test_only_one_has_the_turn_and_a_failure_passes_it_on() -> None:
    turns, inside, most = FairSemaphore(), 0, 0

    async def ask(number: int) -> None:
        nonlocal inside, most
        try:
            async with turns.turn(str(number % 3)):
                inside += 1
                most = max(most, inside)
                await trio.lowlevel.checkpoint()
                inside -= 1
                if number % 2:
                    raise ValueError
        except ValueError:
            pass

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(ask, number)
        async with turns.turn("a"):
            assert most == 1


async def test_a_few_may_have_a_turn_at_once() -> None:
    """And no more."""
    turns, inside, most = FairSemaphore(3), 0, 0

    async def ask(key: str) -> None:
        nonlocal inside, most
        async with turns.turn(key):
            inside += 1
            most = max(most, inside)
            await trio.lowlevel.checkpoint()
            inside -= 1

    with trio.fail_after(5):
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(ask, str(number % 4))
    assert most == 3


async def test_whoever_is_cancelled_gives_its_turn_up() -> None:
    """While it waits, when it is just about to have it, and while it has it."""
    turns = FairSemaphore()
    for spoil in range(3):
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()

                async def ask(scope: trio.CancelScope = scope) -> None:
                    with scope:
                        async with turns.turn("a"):
                            await trio.sleep_forever()

                async with turns.turn("x"):
                    nursery.start_soon(ask)
                    await wait_all_tasks_blocked()
                    if spoil == 0:
                        scope.cancel()
                        await wait_all_tasks_blocked()
                if spoil == 2:
                    await wait_all_tasks_blocked()
                scope.cancel()
            async with turns.turn("b"):
                pass


def test_the_one_that_takes_longest_goes() -> None:
    """Until there is room; never one that has done its part."""
    bodies, gone = InFlight(100), list[str]()
    first, second, third = (bodies.begin(lambda name=name: gone.append(name)) for name in ("1", "2", "3"))  # type: ignore[misc]
    assert bodies.grow(first, 40)
    assert bodies.grow(second, 40)
    bodies.settle(first)
    assert bodies.grow(third, 40)
    assert gone == ["2"]
    assert second.was_ended
    assert not bodies.grow(second, 1)
    assert bodies.held_bytes == 80
    bodies.settle(third)
    fourth = bodies.begin(lambda: gone.append("4"))
    assert not bodies.grow(fourth, 40)  # nobody but itself can go
    for item in (first, second, third, fourth):
        bodies.finish(item)
    assert (bodies.held_bytes, bodies.ended, gone) == (0, 2, ["2", "4"])


def test_one_that_is_alone_may_be_as_large_as_it_is() -> None:
    """It is there already."""
    answers = InFlight(10)
    item = answers.begin(lambda: None)
    assert answers.grow(item, 1000)
    answers.finish(item)
    assert answers.held_bytes == 0


def test_ending_many_takes_work_by_their_number() -> None:
    """Not by its square."""

    def work(count: int) -> int:
        bodies = InFlight(1)

        def run() -> None:
            for _ in range(count):
                bodies.grow(bodies.begin(lambda: None), 1)

        return steps(run)

    assert work(2000) < 2.2 * work(1000)
