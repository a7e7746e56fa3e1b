"""Gives memory back when many connections have ended.

What is freed stays with the allocator. And what ended connections leave behind is in part held by cycles, which the
collector would find late, since it runs seldom here: not WebSockets any more (`patchbay.websocket.accept`), on whose
account it would keep audio waiting. Knows nothing of what the connections are.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from typing import TYPE_CHECKING, Final

from patchbay.process.periodic import next_tick

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_INTERVAL_S: Final = 5.0
CROWD: Final = 200  # descriptors that have been closed, …
MANY: Final = 500  # … or connections that have ended, are worth a pause of some milliseconds
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every C library has it


class EndedConnections:
    """Says when there is something to trim_memory up: a crowd has gone, or many have come and gone one after the other."""

    def __init__(self) -> None:
        self._most = 0
        self._ended = 0

    def are_many(self, descriptors: int, ended: int) -> bool:
        """So many descriptors are open now, and so many connections have ended since the process began."""
        self._most = max(self._most, descriptors)
        crowd_has_gone = self._most - descriptors >= CROWD and descriptors <= self._most / 2
        if crowd_has_gone or ended - self._ended >= MANY:
            self._most, self._ended = descriptors, ended
            return True
        return False


async def trim_memory(ended: Callable[[], int]) -> None:
    """Look for ever. `ended`: how many connections have."""
    leavings = EndedConnections()
    while True:
        await next_tick(LOOK_INTERVAL_S)
        if leavings.are_many(_descriptors(), ended()):
            give_back()


def _descriptors() -> int:
    """How many are open; as many as there can be, where there is none left to count them with."""
    try:
        with os.scandir("/proc/self/fd") as descriptors:
            return sum(1 for _ in descriptors)
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def give_back() -> None:
    """Find what only cycles hold, and hand free memory to the kernel."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)
