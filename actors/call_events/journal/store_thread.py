"""Uses the journal's store from the event loop. One thread at a time does the blocking work."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from actors.call_events.journal.interface import Unavailable
from actors.call_events.journal.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.call_events.journal.journal import Journal

Answer = TypeVar("Answer")


class StoreThread:
    """Holds a store, and uses it in a thread. The maker closes it.

    Every method raises Unavailable, also when there is no thread, memory or descriptor left. Cancelling a method waits
    until the thread has finished.
    """

    def __init__(self, directory: Path) -> None:
        self._store = Store(directory)
        self._limiter = trio.CapacityLimiter(1)

    @property
    def generation(self) -> int:
        """Return how often a file was opened; see `Store`. May be read in the thread, too."""
        return self._store.generation

    async def use(self, work: Callable[[Journal], Answer]) -> Answer:
        """Call `work` in the thread with the open journal, and return its result; see `Store.use`."""
        return await self._run(partial(self._store.use, work))

    async def set_aside(self, why: str) -> None:
        """Rename the damaged file. The next use begins a new one."""
        await self._run(partial(self._store.set_aside, why))

    async def close(self) -> None:
        """Close the file for good."""
        await self._run(self._store.close)

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        try:
            return await trio.to_thread.run_sync(work, limiter=self._limiter)
        except (MemoryError, OSError) as error:
            raise Unavailable(f"this machine has run out of something: {error!r}") from error
        except RuntimeError as error:
            if "thread" not in str(error):
                raise
            raise Unavailable(str(error)) from error
