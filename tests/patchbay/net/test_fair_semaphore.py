"""A semaphore by turns: who asks for much waits for himself."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from patchbay.net.fair_semaphore import FairSemaphore


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

    with trio.fail_after(60):
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

    with trio.fail_after(60):
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(ask, str(number % 4))
    assert most == 3


async def test_whoever_is_cancelled_gives_its_turn_up() -> None:
    """While it waits, when it is just about to have it, and while it has it."""
    turns = FairSemaphore()
    for spoil in range(3):
        with trio.fail_after(60):
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
