"""What a process does now and then, it does at the same moments, and those are the same in all processes.

Waking a process that has slept costs several times what it does then, since the caches are cold. Things that are done
together pay that once, and whoever gets messages of several processes is woken once for all of them.
"""

from __future__ import annotations

import time

import trio

SECOND = 1.0
_offset_s = 0.0  # from trio's clock, which begins anywhere, to the machine's


def keep_time_with_the_machine() -> None:
    """Have the moments be the same in all processes. To be called once, inside trio."""
    global _offset_s
    _offset_s = time.monotonic() - trio.current_time()


async def next_beat(interval_s: float = SECOND) -> float:
    """Sleep until the next moment that is a multiple of the interval, but at least half of it.

    Returns:
        How much later it is, in seconds: how late the event loop was.
    """
    now = trio.current_time() + _offset_s
    due = (now // interval_s + 1) * interval_s
    if due - now < interval_s / 2:
        due += interval_s
    await trio.sleep_until(due - _offset_s)
    return trio.current_time() + _offset_s - due
