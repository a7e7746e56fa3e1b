"""Provides a fair semaphore: keys take turns, and the tasks of one key wait in order.

A key is an address, or a token's `sub`. So a peer that asks often only delays itself.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FairSemaphore:
    """Lets a limited number of tasks run at once, and keys take turns.

    Args:
        at_once: how many tasks may have a turn at the same time.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._left = at_once
        self._waiting: OrderedDict[str, OrderedDict[trio.Event, None]] = OrderedDict()  # the next key first

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it inside the block. Cancelling is safe, and gives the turn to the next task."""
        if self._left:
            self._left -= 1
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, key: str) -> None:
        mine = trio.Event()
        self._waiting.setdefault(key, OrderedDict())[mine] = None
        try:
            await mine.wait()
        except trio.Cancelled:
            if mine.is_set():
                self._pass_on()
            else:
                self._forget(key, mine)
            raise

    def _pass_on(self) -> None:
        """Give the turn to the first task of the next key, and move that key behind the others."""
        if not self._waiting:
            self._left += 1
            return
        key, queue = self._waiting.popitem(last=False)
        queue.popitem(last=False)[0].set()
        if queue:
            self._waiting[key] = queue

    def _forget(self, key: str, mine: trio.Event) -> None:
        queue = self._waiting[key]
        del queue[mine]
        if not queue:
            del self._waiting[key]
