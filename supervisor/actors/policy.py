"""When an actor that has ended without being asked is started again. Pure: time and chance are arguments.

* An actor that had been READY is back at once the first time: a live call waits for it.
* From the second failure in a row on: exponential back-off with full jitter. Being READY for `reset_s` heals it.
* More than `intensity` failures within `period_s` that were not healed: FAILED, tried at the longest back-off
  only. Never dead for good.
* A configuration error: FAILED and not tried by itself at all; starting again can't mend it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.actors.exits import Exit

# 2 ** 64 first back-offs is past any cap: keeps the power of two within a float.
DOUBLINGS_MAX = 64


@dataclass(frozen=True)
class Limits:
    """How patient to be; see `config.settings.SupervisorSettings`."""

    first_s: float
    max_s: float
    reset_s: float
    intensity: int
    period_s: float


@dataclass(frozen=True)
class Past:
    """What counts of an actor's failures so far; the empty one is an actor that never failed."""

    streak: int = 0  # failures since it was last healthy
    failed_at: tuple[float, ...] = ()  # those of them within the period, oldest first


@dataclass(frozen=True)
class Verdict:
    """What to do about a failure: start again after `delay_s`; None: when somebody asks."""

    failed: bool
    delay_s: float | None
    why: str


def judge(
    limits: Limits,
    past: Past,
    ended: Exit,
    *,
    ready_for_s: float | None,
    now: float,
    random: Callable[[], float],
) -> tuple[Verdict, Past]:
    """Decide about an actor that has ended without being asked.

    Args:
        ready_for_s: how long it had been READY; None if it never was.
        now: seconds on any clock that never goes back.
        random: uniform in [0, 1).
    """
    if ready_for_s is not None and ready_for_s >= limits.reset_s:
        past = Past()
    kept = tuple(at for at in past.failed_at if now - at < limits.period_s)
    # One more than the limit is all that has to be known; more would only grow.
    past = replace(past, streak=past.streak + 1, failed_at=(*kept, now)[-limits.intensity - 1 :])
    if ended.configuration_error:
        return Verdict(failed=True, delay_s=None, why="starting it again does not mend that"), past
    if len(past.failed_at) > limits.intensity:
        why = f"more than {limits.intensity} failures in {limits.period_s:g} s"
        return Verdict(failed=True, delay_s=limits.max_s, why=why), past
    if past.streak == 1 and ready_for_s is not None:
        return Verdict(failed=False, delay_s=0.0, why="at once"), past
    ceiling_s = backoff_ceiling_s(limits, past.streak)
    why = f"failure {past.streak} in a row"
    return Verdict(failed=False, delay_s=random() * ceiling_s, why=why), past


def backoff_ceiling_s(limits: Limits, streak: int) -> float:
    """Return the longest wait before the next start after so many failures in a row (at least one)."""
    return min(limits.max_s, limits.first_s * 2.0 ** min(streak - 1, DOUBLINGS_MAX))
