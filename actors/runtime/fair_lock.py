"""A lock for which peers take turns: each has it once before any has it again, however often one asks.

A peer is a key: an address, a token's `sub`. Those who wait under one key wait in order, and keys take turns, so whoever asks
often waits for himself.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FairLock:
    """A lock that is given to peers in turn."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: OrderedDict[str, OrderedDict[trio.Event, None]] = OrderedDict()  # the next key first

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it inside the block. Cancelling gives it up."""
        if self._is_taken:
            await self._wait(key)
        self._is_taken = True
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
        """Give the turn to the first of the next key, which then is the last key."""
        self._is_taken = bool(self._waiting)
        if not self._waiting:
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
