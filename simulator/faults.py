"""What a network may do to frames: lose, repeat, reorder and delay them. Pure; chance is seeded."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from random import Random

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How bad it is. A frame is overtaken by at most `shuffle - 1` later ones of its track; 0 and 1 keep the order."""

    shuffle: int = 0
    lose_pct: float = 0.0
    duplicate_pct: float = 0.0
    jitter_ms: float = 0.0


class FaultPlan(Generic[T]):
    """Decides which frames leave at which tick (20 ms). Holds at most `shuffle` ticks' frames and their duplicates."""

    def __init__(self, faults: Faults, random: Random) -> None:
        self._faults = faults
        self._random = random
        self._heap: list[tuple[int, float, int, T]] = []
        self._offered = 0

    def offer(self, tick: int, frame: T) -> None:
        """A frame that is due at a tick: it leaves then, up to `shuffle - 1` ticks later, twice, or never."""
        if self._happens(self._faults.lose_pct):
            return
        copies = 2 if self._happens(self._faults.duplicate_pct) else 1
        for _ in range(copies):
            self._hold(tick, frame)

    def take(self, tick: int) -> list[T]:
        """What leaves at a tick, in this order."""
        taken = []
        while self._heap and self._heap[0][0] <= tick:
            taken.append(self._pop())
        return taken

    def flush(self) -> list[T]:
        """All that is still held, in the order in which it would have left."""
        return [self._pop() for _ in range(len(self._heap))]

    def delay_s(self) -> float:
        """By how much what leaves at a tick is late."""
        return self._random.random() * self._faults.jitter_ms / 1000 if self._faults.jitter_ms else 0.0

    def _hold(self, tick: int, frame: T) -> None:
        self._offered += 1
        if self._faults.shuffle > 1:
            entry = (
                tick + self._random.randrange(self._faults.shuffle),
                self._random.random(),
                self._offered,
                frame,
            )
        else:
            entry = (tick, 0.0, self._offered, frame)
        heapq.heappush(self._heap, entry)

    def _pop(self) -> T:
        return heapq.heappop(self._heap)[3]

    def _happens(self, percent: float) -> bool:
        return percent > 0 and self._random.random() * 100 < percent
