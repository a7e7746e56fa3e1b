"""Returns memory to the kernel when many connections have ended.

The allocator keeps freed memory. Some objects of ended connections are held by cycles, which the collector would find
late, since it runs seldom here. Knows nothing of what the connections are.
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

POLL_S: Final = 5.0
CLOSED_MIN: Final = 200  # so many closed descriptors, …
ENDED_MIN: Final = 500  # … or so many ended connections are worth a pause of some milliseconds
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every C library has it


class TrimPolicy:
    """Decides when to release memory: after many connections have ended at once, or one after the other."""

    def __init__(self) -> None:
        self._most = 0
        self._ended = 0

    def is_due(self, descriptors: int, ended: int) -> bool:
        """Return whether to release memory now.

        Args:
            descriptors: those that are open.
            ended: connections that have ended since the process was started.
        """
        self._most = max(self._most, descriptors)
        have_closed = self._most - descriptors >= CLOSED_MIN and descriptors <= self._most / 2
        if have_closed or ended - self._ended >= ENDED_MIN:
            self._most, self._ended = descriptors, ended
            return True
        return False


async def trim_memory(ended: Callable[[], int]) -> None:
    """Release memory whenever it is due, for ever. Cancelling is safe.

    Args:
        ended: returns how many connections have ended since the process was started.
    """
    policy = TrimPolicy()
    while True:
        await next_tick(POLL_S)
        if policy.is_due(_descriptors(), ended()):
            release_memory()


def _descriptors() -> int:
    """Return how many descriptors are open; the limit if none is left to count them with."""
    try:
        with os.scandir("/proc/self/fd") as descriptors:
            return sum(1 for _ in descriptors)
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def release_memory() -> None:
    """Collect the objects that only cycles hold, and return free memory to the kernel."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)
