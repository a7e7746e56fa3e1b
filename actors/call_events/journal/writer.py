"""Records events in the journal: many in one commit, and nothing acknowledged before it is on the disk."""

from __future__ import annotations

import contextlib
import logging
import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from actors.call_events.journal.interface import Unavailable
from actors.call_events.journal.pruner import JournalPruner
from actors.call_events.journal.reader import JournalReader
from actors.call_events.journal.session import WriteSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from actors.call_events.events import Arrival
    from actors.call_events.journal.interface import Commit, Opened
    from config.settings import EventSettings

logger = logging.getLogger(__name__)

BATCH_MAX = 500  # events in one commit
REOPEN_S = 1.0  # how often a journal that can't be opened is tried again
OVERLAP_S = 10.0  # how long after our start another process may still write
OVERLAP_REFRESH_S = 0.05


@dataclass(eq=False)
class _Waiting:
    arrival: Arrival
    done: trio.Event = field(default_factory=trio.Event)
    taken: bool | None = None  # None: the journal was unavailable


class JournalWriter:
    """Records events in the journal of this process, prunes the file, and has its reader. `run` must be running.

    Args:
        on_opened, on_commit: see `WriteSession`.

    Attributes:
        session: the file as it is written. reader: the file as clients read it.
        failed: set while the journal can't be written. recovered: set while it can again, after a failure.
        counters: `commits`, `commits_failed`, `events_refused`.
    """

    def __init__(
        self,
        directory: Path,
        settings: EventSettings,
        on_opened: Callable[[Opened], None],
        on_commit: Callable[[Commit], None],
    ) -> None:
        self._waiting_max, self._commit_timeout_s = settings.waiting_max, settings.commit_timeout_s
        self.session = WriteSession(directory, settings.kept, on_opened, on_commit)
        self.reader = JournalReader(directory)
        self._pruner = JournalPruner(self.session, settings, self.record)
        self._waiting: deque[_Waiting] = deque()
        self._work = trio.Event()
        self._fault = ""
        self.failed = trio.Event()
        self.recovered = trio.Event()
        self.counters: Counter[str] = Counter()

    @property
    def is_available(self) -> bool:
        """Return whether the last commit succeeded."""
        return self.session.ready.is_set() and not self._fault

    def totals(self) -> dict[str, int]:
        """Return the counters, for `/metrics`, those of the pruner too."""
        return {**self.counters, **self._pruner.counters}

    async def record(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Write events to the journal, and return for each whether it is new.

        Cancelling leaves open whether they are written.

        Raises:
            Unavailable: they are not written, or not in time. The same events may be given again.
        """
        if len(self._waiting) + len(arrivals) > self._waiting_max:
            self.counters["events_refused"] += len(arrivals)
            raise Unavailable("too many events wait for the journal")
        waiting = [_Waiting(arrival) for arrival in arrivals]
        self._waiting += waiting
        self._work.set()
        with trio.move_on_after(self._commit_timeout_s):
            for each in waiting:
                await each.done.wait()
        if any(each.taken is None for each in waiting):
            self.counters["events_refused"] += len(arrivals)
            raise Unavailable(self._fault or "the journal takes too long")
        return [bool(each.taken) for each in waiting]

    async def run(self) -> None:
        """Write for ever."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._commit_all)
                nursery.start_soon(self._follow_predecessor)
                nursery.start_soon(self._pruner.prune)
                nursery.start_soon(self._pruner.report)
                nursery.start_soon(self._check_file)
        finally:
            with trio.CancelScope(shield=True):  # a thread may still be at work
                await self.session.close()
                await self.reader.close()

    async def _commit_all(self) -> None:
        while True:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
            await self._commit(batch)
            if not self._waiting:
                self._work = trio.Event()
                with trio.move_on_after(math.inf if self.session.ready.is_set() else REOPEN_S):
                    await self._work.wait()

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            commit, used_bytes = await self.session.commit([waiting.arrival for waiting in batch])
        except Unavailable as error:
            self._on_failure(str(error))
        else:
            self._on_success()
            self._pruner.check_size(used_bytes)
            for waiting, taken in zip(batch, commit.taken, strict=True):
                waiting.taken = taken
        for waiting in batch:
            waiting.done.set()

    def _on_failure(self, why: str) -> None:
        self.counters["commits_failed"] += 1
        if why != self._fault:
            logger.error("the journal can't be written: %s; webhooks are answered 503", why)
            self.failed.set()
            self.recovered = trio.Event()
        self._fault = why

    def _on_success(self) -> None:
        self.counters["commits"] += 1
        if self._fault:
            logger.warning("the journal can be written again")
            self.recovered.set()
            self.failed = trio.Event()
        self._fault = ""

    async def _follow_predecessor(self) -> None:
        """Learn of the events of a predecessor that still writes, less and less often, as that becomes less likely."""
        await self.session.ready.wait()
        began = trio.current_time()
        with trio.move_on_after(OVERLAP_S):
            while True:
                await trio.sleep(max(OVERLAP_REFRESH_S, (trio.current_time() - began) / 10))
                with contextlib.suppress(Unavailable):
                    await self.session.refresh()

    async def _check_file(self) -> None:
        """Check once a file that was too large to be checked before it was used."""
        await self.session.ready.wait()
        try:
            fault = await self.reader.check()
        except Unavailable as error:
            logger.warning("the journal could not be checked: %s", error)
            return
        if fault is not None:
            with contextlib.suppress(Unavailable):  # the next use finds the damage again
                await self.session.set_aside(fault)
