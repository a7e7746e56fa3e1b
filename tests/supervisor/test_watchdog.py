"""Who hangs, and who is merely starved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from supervisor.actors.actor import Actor
from supervisor.actors.watchdog import is_late, silence_s, watch
from tests.supervisor.fakes import SPEC, FakeProcess, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WATCHDOG_S = SPEC.watchdog_s
times = st.floats(0, 1e6)


@given(times, times, times)
def test_an_excuse_never_makes_a_silence_longer(beat: float, excused: float, now: float) -> None:
    assert silence_s(beat, excused, now) <= now - beat


def test_late() -> None:
    assert not is_late(10.0, 10.4, 5.0)
    assert is_late(10.0, 10.6, 5.0)


@pytest.fixture
async def actor(tmp_path: Path) -> AsyncIterator[Actor]:
    actor = Actor(SPEC, World(tmp_path).shared)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run, trio.lowlevel.checkpoint)
        await wait_all_tasks_blocked()
        nursery.start_soon(watch, lambda: [actor], lambda: WATCHDOG_S)
        yield actor
        nursery.cancel_scope.cancel()


def process(actor: Actor) -> FakeProcess:
    found = actor.current.process
    assert isinstance(found, FakeProcess)
    return found


async def test_one_that_falls_silent_hangs(actor: Actor, autojump_clock: object) -> None:
    first = process(actor)
    first.on_notification({"WATCHDOG": "1"}, trio.current_time())
    await trio.sleep(WATCHDOG_S - 0.1)
    assert process(actor) is first
    await trio.sleep(1)
    assert process(actor) is not first
    assert actor.life.crashes == 1


async def test_one_that_beats_does_not(actor: Actor, autojump_clock: object) -> None:
    first = process(actor)
    for _ in range(20):
        first.on_notification({"WATCHDOG": "1"}, trio.current_time())
        await trio.sleep(1)
    assert process(actor) is first


async def test_one_that_never_beat_is_not_watched(actor: Actor, autojump_clock: object) -> None:
    first = process(actor)
    await trio.sleep(100)
    assert process(actor) is first


async def test_when_our_own_loop_was_late_nobody_is_ended(actor: Actor, autojump_clock: trio.testing.MockClock) -> None:
    first = process(actor)
    first.on_notification({"WATCHDOG": "1"}, trio.current_time())
    await trio.sleep(1)
    autojump_clock.jump(60)  # the whole machine stood still
    await trio.lowlevel.checkpoint()
    await trio.sleep(WATCHDOG_S - 1)
    assert process(actor) is first
    await trio.sleep(2)
    assert process(actor) is not first
