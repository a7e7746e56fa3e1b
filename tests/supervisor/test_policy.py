"""When a process that has failed is started again."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.actors.exits import Exit
from supervisor.actors.policy import Decision, Failures, Limits, backoff_ceiling_s, decide

LIMITS = Limits(first_s=0.1, max_s=30.0, reset_s=1.0, intensity=5, period_s=30.0)
CRASH = Exit(signal=11)


def failures(*ready_for_s: float | None, gap_s: float = 0.1, chance: float = 0.5) -> list[Decision]:
    """Return the verdicts on failures that come one after another."""
    past, now, verdicts = Failures(), 0.0, []
    for ready_s in ready_for_s:
        now += gap_s + (ready_s or 0.0)
        verdict, past = decide(LIMITS, past, CRASH, ready_for_s=ready_s, now=now, random=lambda: chance)
        verdicts.append(verdict)
    return verdicts


def test_the_first_failure_of_one_that_was_ready_is_mended_at_once() -> None:
    assert failures(0.01) == [Decision(failed=False, delay_s=0.0, why="at once")]


def test_one_that_never_was_ready_has_to_wait() -> None:
    assert failures(None)[0].delay_s == pytest.approx(0.05)


def test_the_back_off_doubles() -> None:
    assert [verdict.delay_s for verdict in failures(0.1, None, None, None)] == [
        pytest.approx(delay) for delay in (0.0, 0.1, 0.2, 0.4)
    ]


def test_being_ready_for_a_while_heals() -> None:
    verdicts = failures(0.1, None, 1.0, None)
    assert [verdict.delay_s for verdict in verdicts] == [0.0, pytest.approx(0.1), 0.0, pytest.approx(0.1)]


def test_one_that_is_killed_again_and_again_but_heals_is_always_back_at_once() -> None:
    assert {verdict.delay_s for verdict in failures(*[1.0] * 40)} == {0.0}


def test_too_many_in_a_period_is_failed_and_tried_at_the_cap() -> None:
    verdicts = failures(*[None] * 8)
    assert [verdict.failed for verdict in verdicts] == [False] * 5 + [True] * 3
    assert {verdict.delay_s for verdict in verdicts[5:]} == {30.0}
    assert verdicts[5].why == "more than 5 failures in 30 s"


def test_the_period_slides() -> None:
    verdicts = failures(*[None] * 30, gap_s=7.0)
    assert not any(verdict.failed for verdict in verdicts)


@pytest.mark.parametrize("code", [64, 78])
def test_a_configuration_error_is_not_tried_again(code: int) -> None:
    verdict, _ = decide(LIMITS, Failures(), Exit(code=code), ready_for_s=None, now=0.0, random=lambda: 0.5)
    assert verdict.failed
    assert verdict.delay_s is None


@pytest.mark.parametrize("code", [0, 1, 63, 79])
def test_other_exit_codes_are(code: int) -> None:
    verdict, _ = decide(LIMITS, Failures(), Exit(code=code), ready_for_s=None, now=0.0, random=lambda: 0.5)
    assert verdict.delay_s is not None


def test_the_ceiling_never_passes_the_cap() -> None:
    assert backoff_ceiling_s(LIMITS, 1) == 0.1
    assert backoff_ceiling_s(LIMITS, 10_000) == 30.0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.none() | st.floats(0, 10),
            st.floats(0, 1, exclude_max=True),
            st.sampled_from([CRASH, Exit(code=0), Exit(code=1), Exit()]),
        ),
        max_size=60,
    )
)
def test_it_never_gives_up_for_good_and_remembers_little(
    story: list[tuple[float, float | None, float, Exit]],
) -> None:
    past, now = Failures(), 0.0
    for gap_s, ready_s, chance, ended in story:
        now += gap_s + (ready_s or 0.0)
        verdict, past = decide(LIMITS, past, ended, ready_for_s=ready_s, now=now, random=partial(float, chance))
        assert verdict.delay_s is not None
        assert 0 <= verdict.delay_s <= LIMITS.max_s
        assert verdict.failed <= (verdict.delay_s == LIMITS.max_s)
        assert len(past.failed_at) <= LIMITS.intensity + 1
