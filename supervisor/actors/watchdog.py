"""Who hangs: whose event loop has not been heard of for too long, though our own was on time.

A machine that is merely starved makes everybody late, us too; then nobody is to be ended for it. So each moment at
which our own loop was late excuses everyone up to then. A process is watched from its first beat on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supervisor.actors.actor import Actor

# How late our own loop may be without being an excuse for others, and how often to look, as shares of the watchdog.
LATE_SHARE = 0.1
LOOK_SHARE = 0.1
LOOK_MAX_S = 0.5


def silence_s(beat_at: float, excused_at: float, now: float) -> float:
    """Return for how long a process has been silent without excuse. Pure."""
    return now - max(beat_at, excused_at)


def is_late(due: float, now: float, watchdog_s: float) -> bool:
    """Whether our own loop, awake at `now` instead of `due`, is so late that others have an excuse. Pure."""
    return now - due > watchdog_s * LATE_SHARE


async def watch(actors: Callable[[], Iterable[Actor]], watchdog_s: Callable[[], float]) -> None:
    """Condemn the processes that hang, for ever."""
    excused_at = trio.current_time()
    while True:
        due = trio.current_time() + min(watchdog_s() * LOOK_SHARE, LOOK_MAX_S)
        await trio.sleep_until(due)
        now = trio.current_time()
        if is_late(due, now, watchdog_s()):
            excused_at = now
            continue
        for actor in actors():
            for process in actor.processes:
                if process.beat_at is None:
                    continue
                silent_s = silence_s(process.beat_at, excused_at, now)
                if silent_s > actor.spec.watchdog_s:
                    actor.condemn(process, f"hung: its event loop was silent for {silent_s:.1f} s")
