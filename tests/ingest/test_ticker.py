"""Timed work is done when it is due, no more often than every tick, and not at all while nothing waits."""

from __future__ import annotations

import trio
import trio.testing

from actors.ingest.ticker import TICK_S, Ticker


async def test_work_when_it_is_due(autojump_clock: trio.testing.MockClock) -> None:
    """At the time that the work has returned; many wishes at once are one."""
    done: list[float] = []
    begin = trio.current_time()

    def work(now: float) -> float | None:
        done.append(round(now - begin, 6))
        return {1: now, 2: now + 1.0}.get(len(done))

    ticker = Ticker(work, trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticker.run)
        await trio.sleep(5)
        assert done == []
        for _ in range(3):
            ticker.wake()
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert done == [5.0, 5.0 + TICK_S, 6.0 + TICK_S]
