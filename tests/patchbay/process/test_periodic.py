"""What is done now and then is done together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import trio

from patchbay.process import periodic
from patchbay.process.periodic import next_tick

if TYPE_CHECKING:
    from trio.testing import MockClock


@pytest.mark.parametrize("late_s", [0.0, 0.1, 0.49, 0.51, 0.999])
async def test_beats_are_multiples_and_at_least_half_an_interval_apart(
    autojump_clock: MockClock, late_s: float
) -> None:
    """Whenever one begins to wait."""
    await trio.sleep(late_s)
    begun = trio.current_time()
    await next_tick()
    assert trio.current_time() == pytest.approx(round(trio.current_time()))
    assert 0.5 <= trio.current_time() - begun <= 1.5
    for _ in range(3):
        before = trio.current_time()
        await next_tick()
        assert trio.current_time() - before == pytest.approx(1)


async def test_two_that_began_at_different_times_wake_together(autojump_clock: MockClock) -> None:
    """That is what it is for."""
    woken: list[float] = []

    async def one(first_s: float) -> None:
        await trio.sleep(first_s)
        await next_tick()
        woken.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 0.1)
        nursery.start_soon(one, 0.4)
    assert woken[0] == woken[1]


async def test_how_late_it_is_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that was held up."""

    async def late(deadline: float) -> None:
        del deadline

    monkeypatch.setattr(trio, "sleep_until", late)
    assert -1.5 <= await next_tick() <= -0.5  # it came at once, so much too early


def test_all_processes_have_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """trio's clock begins somewhere else in each."""
    monkeypatch.setattr(periodic, "_offset_s", 0.0)

    async def moment() -> float:
        periodic.align_ticks(0.1)
        await next_tick(0.25)
        return (time.monotonic() - 0.1) % 0.25

    assert all(trio.run(moment) < 0.2 for _ in range(3))
