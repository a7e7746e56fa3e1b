"""Records events in the journal, many in one commit. An event is on the disk before it is acknowledged."""

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
REOPEN_S = 1.0  # between attempts to open the journal
OVERLAP_S = 10.0  # after the start, during which a predecessor may still write
OVERLAP_REFRESH_S = 0.05


@dataclass(eq=False)
class _Waiting:
    arrival: Arrival
    done: trio.Event = field(default_factory=trio.Event)
    taken: bool | None = None  # None: the journal was unavailable


class JournalWriter:
    """Records events in the journal of this process, and prunes the file. `run` must be running, and closes the file.

    Args:
        on_opened, on_commit: see `WriteSession`.

    Attributes:
        session: writes the file.
        reader: reads the file for clients.
        failed: set while the journal can't be written.
        recovered: set while the journal can be written again, after a failure.
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
        """Return the counters for `/metrics`, with those of the pruner."""
        return {**self.counters, **self._pruner.counters}

    async def record(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Write events to the journal, and return whether each is new.

        After cancelling, the events may be written or not.

        Raises:
            Unavailable: the events were not written, or not in time. They may be recorded again.
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
        """Write until cancelled, then close the file."""
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
        """Pass on the events of a predecessor that may still write, less and less often, for OVERLAP_S."""
        await self.session.ready.wait()
        began = trio.current_time()
        with trio.move_on_after(OVERLAP_S):
            while True:
                await trio.sleep(max(OVERLAP_REFRESH_S, (trio.current_time() - began) / 10))
                with contextlib.suppress(Unavailable):
                    await self.session.refresh()

    async def _check_file(self) -> None:
        """Check the file once. A large file is not checked when it is opened."""
        await self.session.ready.wait()
        try:
            fault = await self.reader.check()
        except Unavailable as error:
            logger.warning("the journal could not be checked for damage: %s", error)
            return
        if fault is not None:
            with contextlib.suppress(Unavailable):  # the next use finds the damage again
                await self.session.set_aside(fault)
