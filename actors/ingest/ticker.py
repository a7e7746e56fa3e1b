"""Does the timed work of one process when it is due, and sleeps while nothing waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patchbay.net.event_loop import Callback

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_S: Final = 0.005  # accuracy of time-outs that are a few 20 ms long


class Ticker:
    """Calls `work` with the time, at most every TICK_S.

    Args:
        work: returns when it is due next; None: after the next `wake`.
    """

    def __init__(self, work: Callable[[float], float | None], now: Callable[[], float]) -> None:
        self._work = work
        self._now = now
        self._callback = Callback(self.tick)
        self._ticked_at = float("-inf")

    def wake(self) -> None:
        """Have the work done within TICK_S."""
        self._callback.schedule(self._ticked_at + TICK_S)

    async def run(self) -> None:
        """Do the work whenever it is due, for ever. Raises what `work` raises."""
        await self._callback.run()

    def tick(self) -> float | None:
        """Do the work now. Returns when it is due next."""
        now = self._ticked_at = self._now()
        due = self._work(now)
        return None if due is None else max(due, now + TICK_S)
