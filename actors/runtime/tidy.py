"""Gives memory back when a crowd of connections has gone.

What a connection leaves behind is in part held by cycles (tasks, their scopes, tracebacks), which the collector finds
late, since it runs seldom here; and what is freed stays with the allocator. Neither grows without end, but a process
that has seen a thousand peers would be larger for ever. Knows nothing of what the descriptors are.
"""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Final

import trio

LOOK_INTERVAL_S: Final = 5.0
CROWD: Final = 200  # descriptors
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every C library has it


class Crowd:
    """Says when many descriptors have been closed: more than half, and at least CROWD."""

    def __init__(self) -> None:
        self._most = 0

    def has_gone(self, descriptors: int) -> bool:
        """So many are open now."""
        self._most = max(self._most, descriptors)
        gone = self._most - descriptors >= CROWD and descriptors <= self._most / 2
        if gone:
            self._most = descriptors
        return gone


async def tidy() -> None:
    """Look for ever. Few connections are left when there is work to do, so it does not keep them waiting."""
    crowd = Crowd()
    while True:
        await trio.sleep(LOOK_INTERVAL_S)
        with os.scandir("/proc/self/fd") as descriptors:
            count = sum(1 for _ in descriptors)
        if crowd.has_gone(count):
            give_back()


def give_back() -> None:
    """Find what only cycles hold, and hand free memory to the kernel."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)
