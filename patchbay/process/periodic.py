"""Runs periodic work at ticks that all tasks of a process, and all processes that carry no audio, share.

Waking a process that has slept costs several times the work itself, since the caches are cold. Work at the same tick
pays that once, and a process that receives messages of several others is woken once for them. Processes that carry
audio have ticks of their own (`align_ticks`): work of all processes at one moment would keep audio waiting on a machine
with few cores.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from patchbay.net.event_loop import Callback

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1.0
_offset_s = 0.0  # from trio's clock, which begins anywhere, to the clock of the machine


def align_ticks(phase_s: float) -> None:
    """Set the ticks of this process: `phase_s` after the multiples of an interval on the machine's clock.

    Processes with the same phase have the same ticks. Called once, inside trio.
    """
    global _offset_s
    _offset_s = time.monotonic() - trio.current_time() - phase_s


async def next_tick(interval_s: float = SECOND) -> float:
    """Sleep until the next tick, at least half the interval. Cancelling is safe.

    Returns:
        The lag of the event loop: how many seconds after the tick this task runs.
    """
    due = tick_after(trio.current_time(), interval_s)
    await trio.sleep_until(due)
    return trio.current_time() - due


async def every(interval_s: float, work: Callable[[], None]) -> None:
    """Call `work` at each tick, for ever; as a callback of the event loop, where there is one, without waking a
    task."""

    def turn() -> float:
        work()
        return tick_after(trio.current_time(), interval_s)

    await Callback(turn, due=tick_after(trio.current_time(), interval_s)).run()


def tick_after(now: float, interval_s: float) -> float:
    """Return the next tick, at least half the interval after `now`; both in trio's clock."""
    now += _offset_s
    due = (now // interval_s + 1) * interval_s
    if due - now < interval_s / 2:
        due += interval_s
    return due - _offset_s
