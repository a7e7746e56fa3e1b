"""Writes to the journal in a thread, and passes on all events once and in order, also those of another process.

Two processes write during a roll. Each gets the other's events with its own next commit, or by `refresh`.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, TypeVar

import trio

from actors.call_events.journal.interface import Opened, Unavailable
from actors.call_events.journal.store_thread import StoreThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from actors.call_events.events import Arrival
    from actors.call_events.journal.interface import Commit
    from actors.call_events.journal.journal import Journal
    from actors.call_events.journal.pruning import Pruned

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class WriteSession:
    """Writes to the journal for this process. The maker closes it.

    Every method but `close` raises Unavailable. Cancelling a method waits until the thread has finished.

    Args:
        kept: how many of the newest events are given to `on_opened`.
        on_opened: called first when a journal was opened; again when another file has replaced it.
        on_commit: called with newly committed events, in order, at once after their commit.

    Attributes:
        oldest: offset of the oldest event; see `Journal.oldest_offset`.
        first: offset of the first event of this epoch. Events before it may be incomplete.
        ready: set once a journal was opened.
    """

    def __init__(
        self, directory: Path, kept: int, on_opened: Callable[[Opened], None], on_commit: Callable[[Commit], None]
    ) -> None:
        self._store = StoreThread(directory)
        self._kept = kept
        self._on_opened, self._on_commit = on_opened, on_commit
        self._lock = trio.Lock()
        self._generation = self._known = 0
        self.oldest = self.first = 0
        self.ready = trio.Event()

    async def commit(self, arrivals: Sequence[Arrival]) -> tuple[Commit, int]:
        """Write events, all or none. Return the commit, and how many bytes the journal uses."""
        async with self._lock:
            commit, used_bytes = await self._use(
                lambda journal, known: (journal.commit(arrivals, known), journal.used_bytes)
            )
            self._pass_on(commit)
        return commit, used_bytes

    async def refresh(self) -> None:
        """Pass on the events that another process has committed."""
        async with self._lock:
            self._pass_on(await self._use(lambda journal, known: journal.newer(known)))

    async def prune(self, *, before: int, max_bytes: int, fresh: int) -> tuple[int, Pruned]:
        """Delete some events; see `Journal.prune`."""
        async with self._lock:
            old, by_size, self.oldest = await self._use(
                lambda journal, known: (
                    *journal.prune(before=before, max_bytes=max_bytes, fresh=fresh),
                    journal.oldest_offset,
                )
            )
        return old, by_size

    async def set_aside(self, fault: str) -> None:
        """Rename the damaged file. The next use begins a new one."""
        async with self._lock:
            await self._store.set_aside(fault)

    async def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(Unavailable):
            await self._store.close()

    async def _use(self, work: Callable[[Journal, int], Answer]) -> Answer:
        """Call `work` with the journal and the offset that is known here. The caller holds `_lock`."""
        generation, known, kept = self._generation, self._known, self._kept

        def in_thread(journal: Journal) -> tuple[Opened | None, Answer]:
            opened = _describe(journal, kept) if self._store.generation != generation else None
            return opened, work(journal, known if opened is None else opened.last)

        opened, answer = await self._store.use(in_thread)
        if opened is not None:
            self._generation, self._known = self._store.generation, opened.last
            self.oldest, self.first = opened.oldest, opened.first
            logger.info("journal opened: epoch %s, last offset %d", opened.epoch, opened.last)
            self._on_opened(opened)
            self.ready.set()
        return answer

    def _pass_on(self, commit: Commit) -> None:
        if commit.entries:
            self._known = commit.entries[-1].offset
            self._on_commit(commit)


def _describe(journal: Journal, kept: int) -> Opened:
    with journal.read_transaction():  # another process may commit between these reads
        entries = journal.newest(kept)
        last, oldest, calls = journal.last_offset, journal.oldest_offset, journal.live_calls()
        return Opened(journal.epoch, last, oldest, entries, calls, journal.first_offset)
