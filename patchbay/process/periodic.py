"""What a process does now and then, it does at the same moments; processes that carry no audio share theirs.

Waking a process that has slept costs several times what it does then, since the caches are cold. Things that are done
together pay that once, and whoever gets messages of several processes is woken once for them. But not all at one moment:
that would keep audio waiting on a machine with few cores (measured: 20 ms once a second).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from patchbay.net.event_loop import Callback

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1.0
_offset_s = 0.0  # from trio's clock, which begins anywhere, to the machine's


def align_ticks(phase_s: float) -> None:
    """Have the moments be the same in all processes with this phase: so long after the multiples of the interval on the
    machine's clock. To be called once, inside trio."""
    global _offset_s
    _offset_s = time.monotonic() - trio.current_time() - phase_s


async def next_tick(interval_s: float = SECOND) -> float:
    """Sleep until the next moment, but at least half the interval.

    Returns:
        How much later it is, in seconds: how late the event loop was.
    """
    due = tick_after(trio.current_time(), interval_s)
    await trio.sleep_until(due)
    return trio.current_time() - due


async def every(interval_s: float, work: Callable[[], None]) -> None:
    """Do something at each moment, for ever, as a callback: without waking a task where that can be had."""

    def turn() -> float:
        work()
        return tick_after(trio.current_time(), interval_s)

    await Callback(turn, due=tick_after(trio.current_time(), interval_s)).run()


def tick_after(now: float, interval_s: float) -> float:
    """The next moment, at least half the interval after `now`; both in trio's clock."""
    now += _offset_s
    due = (now // interval_s + 1) * interval_s
    if due - now < interval_s / 2:
        due += interval_s
    return due - _offset_s
