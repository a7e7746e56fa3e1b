"""Finds the processes that hang: those whose event loop has been silent for too long, while the supervisor's was on
time.

On a machine without enough processor time all event loops are late, the supervisor's too, and no process is ended for
that: whenever the supervisor's own loop was late, all silence before that moment is forgiven. A process is watched from
its first heartbeat on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from supervisor.actors.actor import Actor

# As shares of the watchdog time: how late the supervisor's own loop may be, and the interval between two looks.
LATE_SHARE = 0.1
POLL_SHARE = 0.1
POLL_MAX_S = 0.5


def silence_s(beat_at: float, forgiven_at: float, now: float) -> float:
    """Return for how long a process has been silent since silence was last forgiven. Pure."""
    return now - max(beat_at, forgiven_at)


def is_late(due: float, now: float, watchdog_s: float) -> bool:
    """Return whether the supervisor's loop, awake at `now` instead of `due`, is so late that all silence is forgiven.

    Pure.
    """
    return now - due > watchdog_s * LATE_SHARE


async def watch(actors: Callable[[], Iterable[Actor]], watchdog_s: Callable[[], float]) -> None:
    """Abort the processes that hang, for ever. Cancelling is safe."""
    forgiven_at = trio.current_time()
    while True:
        due = trio.current_time() + min(watchdog_s() * POLL_SHARE, POLL_MAX_S)
        await trio.sleep_until(due)
        now = trio.current_time()
        if is_late(due, now, watchdog_s()):
            forgiven_at = now
            continue
        for actor in actors():
            for process in actor.processes:
                if process.beat_at is None:
                    continue
                silent_s = silence_s(process.beat_at, forgiven_at, now)
                if silent_s > actor.spec.watchdog_s:
                    actor.abort(process, f"hung: its event loop was silent for {silent_s:.1f} s")
