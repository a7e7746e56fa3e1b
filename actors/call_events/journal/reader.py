"""Reads the journal for clients, in a thread of its own, so that reads never delay a commit."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from actors.call_events.journal.interface import Unavailable
from actors.call_events.journal.store_thread import StoreThread
from patchbay.net.fair_semaphore import FairSemaphore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.call_events.entry import Interest
    from actors.call_events.journal.interface import Page
    from actors.call_events.journal.journal import Journal

Answer = TypeVar("Answer")
PAGE_EVENTS = 500
PAGE_BYTES = 256 * 1024


class JournalReader:
    """Reads the journal for several readers (`who`) in turn. The maker closes it.

    Every read raises Unavailable. Cancelling a read waits until the thread has finished.
    """

    def __init__(self, directory: Path) -> None:
        self._store = StoreThread(directory)
        self._turns = FairSemaphore()

    async def page(
        self, interest: Interest, after: int, *, who: str = "", limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """Return wanted events after an offset; see `Journal.page`."""
        return await self._read(lambda journal: journal.page(interest, after, limit, max_bytes), who)

    async def latest(self, interest: Interest, limit: int, *, who: str = "") -> int:
        """Return the offset before the latest `limit` wanted events; see `Journal.latest`."""
        return await self._read(lambda journal: journal.latest(interest, limit), who)

    async def last_webhook_at(self) -> int | None:
        """Return when the last webhook was received; see `Journal.last_webhook_at`."""
        return await self._read(lambda journal: journal.last_webhook_at())

    async def check(self) -> str | None:
        """Return the damage of the file; see `Journal.check`."""
        return await self._read(lambda journal: journal.check())

    async def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(Unavailable):
            await self._store.close()

    async def _read(self, work: Callable[[Journal], Answer], who: str = "") -> Answer:
        async with self._turns.turn(who):
            return await self._store.use(work)
