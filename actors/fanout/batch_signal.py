"""Lets tasks wait for a condition that batches from the bus bring about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class BatchSignal:
    """Wakes waiting tasks after each round of batches."""

    def __init__(self) -> None:
        self._next: trio.Event | None = None  # while a task waits

    def notify(self) -> None:
        """Have all waiting tasks look at their condition again."""
        if self._next is not None:
            self._next.set()
            self._next = None

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition holds. False: it did not within `timeout_s`. Cancelling is safe."""
        with trio.move_on_after(timeout_s):
            while not condition():
                if self._next is None:
                    self._next = trio.Event()
                await self._next.wait()
            return True
        return False
