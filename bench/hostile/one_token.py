"""Many connections of one token, each of which does one kind after the other without end, beside running calls.

Calm and attacked windows take turns, so that what else the machine does is in both; a figure is the median of its
windows.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

import trio

from bench import measure
from bench.hostile.guarded import GUARDED
from bench.hostile.kinds import REFUSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.hostile.kinds import Target
    from bench.windows import Calls, Window

ROUNDS: Final = 3
WINDOW_S: Final = 15.0
OPEN_S: Final = 5.0  # for all to come, before anything is counted
AFTER_S: Final = 12.0  # for what they leave to be dealt with
KINDS: Final = [kind for name, kind in GUARDED.items() if name != "all at once"]


@dataclass
class Siege:
    """What was measured.

    Attributes:
        calm, attacked: the windows of each.
        seen: what connections were answered; those that stayed to the end count as `stayed`.
    """

    calm: list[Window] = field(default_factory=list)
    attacked: list[Window] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    async def carry_out(self, placed: Calls, target: Target, connections: int) -> None:
        """Have a calm window and an attacked one, again and again."""
        for number in range(ROUNDS):
            await trio.sleep(AFTER_S if number else 0.0)
            self.calm.append(await _window(placed))
            async with trio.open_nursery() as nursery:
                for each in range(connections):
                    nursery.start_soon(_besiege, target, each, OPEN_S * each / connections, self.seen)
                await trio.sleep(OPEN_S)
                self.attacked.append(await _window(placed))
                nursery.cancel_scope.cancel()
            measure.say(
                f"one token, {connections} connections: {_told(self.calm[-1])}; attacked: {_told(self.attacked[-1])}"
            )
        await trio.sleep(AFTER_S)


@dataclass(frozen=True)
class Figures:
    """Medians of a few windows, in milliseconds."""

    p50: float
    p99: float
    gap: float
    late_p99: float

    @classmethod
    def of(cls, windows: Sequence[Window]) -> Figures:
        """Return those of these windows."""
        return cls(
            statistics.median(window.latency_ms.p50 for window in windows),
            statistics.median(window.latency_ms.p99 for window in windows),
            statistics.median(max(window.gaps_ms, default=0.0) for window in windows),
            statistics.median(window.lag_ms.p99 for window in windows),
        )


async def _window(placed: Calls) -> Window:
    await placed.begin()
    await trio.sleep(WINDOW_S)
    return await placed.end()


async def _besiege(target: Target, number: int, after_s: float, seen: Counter[str]) -> None:
    await trio.sleep(after_s)
    for turn in count(number):
        outcome = "stayed"
        try:
            outcome = await KINDS[turn % len(KINDS)].attack(target, number)
        except (trio.BrokenResourceError, OSError):
            outcome = REFUSED
            await trio.sleep(1)
        finally:
            seen[outcome] += 1


def _told(window: Window) -> str:
    cpu = ", ".join(f"{each.command.split()[-1]} {(each.user_s + each.system_s):.1f}" for each in window.processes)
    return (
        f"p50 {window.latency_ms.p50:.2f} p99 {window.latency_ms.p99:.2f} gap {max(window.gaps_ms, default=0.0):.0f} "
        f"generator late {window.lag_ms.p99:.2f} faults {window.faults} cpu s {cpu} others {window.other_cpu_s:.1f}"
    )
