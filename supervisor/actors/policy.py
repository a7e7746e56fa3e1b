"""Decides when an actor that has ended without being asked is started again. Pure: time and chance are arguments.

* An actor that had been READY is started at once the first time: live calls wait for it.
* From the second failure in a row on: exponential back-off with full jitter. READY for `reset_s` ends the row.
* More than `intensity` failures within `period_s` in a row: FAILED, and started at the longest back-off only.
* A configuration error: FAILED, and started on request only, since starting again does not help.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import SupervisorSettings
    from supervisor.actors.exits import Exit

# 2 ** 64 times the first back-off is past any limit, and the power of two fits a float.
DOUBLINGS_MAX = 64


@dataclass(frozen=True)
class Limits:
    """Holds the limits of restarts; see `config.settings.SupervisorSettings`."""

    first_s: float
    max_s: float
    reset_s: float
    intensity: int
    period_s: float

    @classmethod
    def from_settings(cls, settings: SupervisorSettings) -> Limits:
        """Return the limits that the settings give."""
        return cls(
            first_s=settings.backoff_first_s,
            max_s=settings.backoff_max_s,
            reset_s=settings.backoff_reset_s,
            intensity=settings.intensity,
            period_s=settings.intensity_period_s,
        )


@dataclass(frozen=True)
class Failures:
    """Holds the failures of an actor in a row.

    Attributes:
        streak: their number.
        failed_at: when those within the period happened, oldest first.
    """

    streak: int = 0
    failed_at: tuple[float, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Tells what to do after a failure: start again after `delay_s`; None: on request only."""

    failed: bool
    delay_s: float | None
    why: str


def decide(
    limits: Limits,
    past: Failures,
    ended: Exit,
    *,
    ready_for_s: float | None,
    now: float,
    random: Callable[[], float],
) -> tuple[Decision, Failures]:
    """Return what to do about an actor that has ended without being asked, and its failures including this one.

    Args:
        ready_for_s: how long it had been READY; None if it never was.
        now: seconds, of a monotonic clock.
        random: returns a number uniform in [0, 1).
    """
    if ready_for_s is not None and ready_for_s >= limits.reset_s:
        past = Failures()
    kept = tuple(at for at in past.failed_at if now - at < limits.period_s)
    # One failure more than the limit decides; more need not be kept.
    past = replace(past, streak=past.streak + 1, failed_at=(*kept, now)[-limits.intensity - 1 :])
    if ended.configuration_error:
        return Decision(failed=True, delay_s=None, why="starting it again does not mend that"), past
    if len(past.failed_at) > limits.intensity:
        why = f"more than {limits.intensity} failures in {limits.period_s:g} s"
        return Decision(failed=True, delay_s=limits.max_s, why=why), past
    if past.streak == 1 and ready_for_s is not None:
        return Decision(failed=False, delay_s=0.0, why="at once"), past
    delay_s = random() * backoff_ceiling_s(limits, past.streak)
    return Decision(failed=False, delay_s=delay_s, why=f"failure {past.streak} in a row"), past


def backoff_ceiling_s(limits: Limits, streak: int) -> float:
    """Return the longest wait before the start that follows so many failures in a row (at least one)."""
    return min(limits.max_s, limits.first_s * 2.0 ** min(streak - 1, DOUBLINGS_MAX))
