"""Batcher: at once while frames are few, by the clock when they are many, and never too many of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.net.poll_clock import BURST_ROUNDS, BUSY_CONNECTIONS, PollClock

LINGER_S = 0.004


def test_few_frames_are_served_when_they_come() -> None:
    """Each wakes us once, also several of them close together."""
    pace = PollClock(LINGER_S)
    for now in (0.0, 0.020, 0.021, 0.022):
        assert pace.on_wakeup(now) is None
        assert pace.on_round_end(now, False, 1) is None


def test_no_more_than_a_few_come_close_together() -> None:
    """What was spent in advance is waited for, once; then a single frame is no reason to go by the clock."""
    pace = PollClock(LINGER_S)
    for _ in range(BURST_ROUNDS + 1):
        assert pace.on_wakeup(0.0) is None
        assert pace.on_round_end(0.0, False, 1) is None
    due = pace.on_wakeup(0.0)
    assert due is not None
    assert due == pytest.approx(LINGER_S)
    assert pace.on_wakeup(due) is None
    assert pace.on_round_end(due, False, 1) is None


def test_many_frames_are_served_by_the_clock() -> None:
    """At even moments, whether we are woken a little early or late, until there are few."""
    pace = PollClock(LINGER_S)
    assert pace.on_wakeup(10.0) is None
    due = pace.on_round_end(10.0, True, BUSY_CONNECTIONS)
    for number, late in enumerate((0.0, 0.0005, -0.0005, 0.001), 1):
        assert due is not None
        assert due == pytest.approx(10.0 + number * LINGER_S)
        assert pace.on_wakeup(due + late) is None
        due = pace.on_round_end(due + late, False, BUSY_CONNECTIONS)
    assert due is not None
    assert pace.on_wakeup(due) is None
    assert pace.on_round_end(due, False, BUSY_CONNECTIONS - 1) is None


def test_what_was_missed_is_not_made_up_for() -> None:
    """A round that took long is followed by one round at once, and an even pace."""
    pace = PollClock(LINGER_S)
    pace.on_wakeup(0.0)
    due = pace.on_round_end(0.0, True, BUSY_CONNECTIONS)
    assert due == pytest.approx(LINGER_S)
    assert pace.on_wakeup(0.1) is None
    assert pace.on_round_end(0.1, True, BUSY_CONNECTIONS) == 0.1
    assert pace.on_wakeup(0.1) is None
    assert pace.on_round_end(0.1, True, BUSY_CONNECTIONS) == pytest.approx(0.1 + LINGER_S)


@given(st.lists(st.tuples(st.floats(0, 0.02), st.integers(0, 5), st.booleans()), max_size=200))
def test_rounds_are_bounded(happenings: list[tuple[float, int, bool]]) -> None:
    """Whatever comes when: not more rounds than the time has room for, but for a few."""
    pace, now, begun, rounds = PollClock(LINGER_S), 0.0, 0.0, 0
    due: float | None = None
    for wait, connections, more in happenings:
        now = now + wait if due is None else max(now, due)
        if (due := pace.on_wakeup(now)) is None:
            rounds += 1
            due = pace.on_round_end(now, more, connections)
    assert rounds <= (now - begun) / LINGER_S + BURST_ROUNDS + 2
