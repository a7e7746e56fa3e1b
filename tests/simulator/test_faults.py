from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.faults import FaultPlan, Faults

FRAMES = 400


def through(faults: Faults, seed: int, frames: int = FRAMES) -> list[int]:
    """What leaves, in order, when a frame a tick goes in."""
    plan, left = FaultPlan[int](faults, Random(seed)), []
    for tick in range(frames):
        plan.offer(tick, tick)
        left += plan.take(tick)
    return left + plan.flush()


def test_without_faults_everything_leaves_at_its_tick() -> None:
    plan = FaultPlan[str](Faults(), Random(1))
    plan.offer(0, "inbound")
    plan.offer(0, "outbound")
    assert plan.take(0) == ["inbound", "outbound"]
    assert plan.flush() == []
    assert plan.delay_s() == 0


@given(st.integers(0, 8), st.integers())
def test_shuffling_loses_nothing_and_stays_within_its_window(window: int, seed: int) -> None:
    left = through(Faults(shuffle=window), seed, 100)
    assert sorted(left) == list(range(100))
    for place, frame in enumerate(left):
        overtaken_by = sum(later > frame for later in left[:place])
        assert overtaken_by <= max(0, window - 1)


def test_shuffling_shuffles() -> None:
    assert through(Faults(shuffle=4), 1) != list(range(FRAMES))


def test_losing_and_repeating_are_about_as_often_as_asked() -> None:
    assert 0.85 < len(through(Faults(lose_pct=10), 1)) / FRAMES < 0.95
    repeated = through(Faults(duplicate_pct=10), 1)
    assert set(repeated) == set(range(FRAMES))
    assert 1.05 < len(repeated) / FRAMES < 1.15
    assert through(Faults(lose_pct=100), 1) == []


def test_the_same_seed_gives_the_same_faults() -> None:
    faults = Faults(shuffle=5, lose_pct=5, duplicate_pct=5)
    assert through(faults, 3) == through(faults, 3)
    assert through(faults, 3) != through(faults, 4)


def test_delays_are_within_the_jitter() -> None:
    plan = FaultPlan[int](Faults(jitter_ms=30), Random(1))
    delays = [plan.delay_s() for _ in range(200)]
    assert 0 <= min(delays) < 0.002
    assert max(delays) == pytest.approx(0.03, abs=0.002)
