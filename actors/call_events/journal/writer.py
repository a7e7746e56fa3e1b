"""Between the event loop and the journal: many events in one commit, one thread, and nothing said before it is true.

Everything that is committed, here or by another process during a roll, is passed on once and in order.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from actors.call_events.internal_events import own_event
from actors.call_events.journal.store import Store, Unavailable
from patchbay.net.fair_semaphore import FairSemaphore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from actors.call_events.calls.call_state import CallState
    from actors.call_events.entry import Entry, Interest
    from actors.call_events.events import Arrival
    from actors.call_events.journal.journal import Commit, Journal, Page
    from actors.call_events.journal.pruning import Gone
    from config.settings import EventSettings

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
PRUNED = "events.pruned"
BATCH_MAX = 500  # events in one commit
REOPEN_S = 1.0  # how often a journal that can't be opened is tried again
OVERLAP_S = 10.0  # after our start another process may write for so long
OVERLAP_LOOK_S = 0.05
PRUNE_IDLE_S = 60.0
PRUNE_BUSY_S = 0.05
FRESH_S = 600  # ids of webhooks are known so long, if that can be: twice a signature's tolerance
PRUNED_TOLD_S = 60.0  # how often it is told what had to go
PRUNED_CALLS_MAX = 100  # of which it is told each time; others together
PAGE_EVENTS = 500
PAGE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Opened:
    """A journal that is open, and what was in it."""

    epoch: str
    last: int
    oldest: int
    entries: list[Entry]
    calls: dict[str, CallState]
    first: int = 0  # offset of the first event of this epoch; those before it may be fewer than there were


@dataclass(eq=False)
class _Waiting:
    arrival: Arrival
    done: trio.Event = field(default_factory=trio.Event)
    taken: bool | None = None  # None: the journal could not


class JournalWriter:
    """The one writer of this process, and its reader. `run` must be running.

    Args:
        on_opened: called with what is in the journal, before anything else, and again when another file took its place.
        on_commit: called with what was committed, in order, at once after the commit.

    Attributes:
        oldest: offset of the oldest event that is kept, or of the first that will be.
        first: offset of the first event of this epoch: what is kept of those before it need not be all.
        ready: set once the journal has been opened.
        failed: set while the journal can't be written. recovered: set while it can, after it could not.
        counters: `commits`, `commits_failed`, `events_refused`, `events_pruned` (old ones), `events_pruned_by_size`.
    """

    def __init__(
        self,
        directory: Path,
        settings: EventSettings,
        on_opened: Callable[[Opened], None],
        on_commit: Callable[[Commit], None],
    ) -> None:
        self._settings = settings
        self._writer = Store(directory)
        self._reader = Store(directory)
        self._writing, self._reading = trio.CapacityLimiter(1), trio.CapacityLimiter(1)
        self._on_opened, self._on_commit = on_opened, on_commit
        self._waiting: deque[_Waiting] = deque()
        self._work = trio.Event()
        self._full = trio.Event()
        self._lost: dict[str | None, Counter[str]] = {}  # events that had to go by size, by call and type
        self._turn = trio.Lock()
        self._reads = FairSemaphore()
        self._file = self._known = self._pruned = 0
        self._fault = ""
        self.oldest = self.first = 0
        self.ready = trio.Event()
        self.failed = trio.Event()
        self.recovered = trio.Event()
        self.counters: Counter[str] = Counter()

    @property
    def is_available(self) -> bool:
        """Whether the last commit succeeded."""
        return self.ready.is_set() and not self._fault

    async def record(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Take events for good; for each, whether it is new. Cancelling leaves open whether they are taken.

        Raises:
            Unavailable: they are not taken, or not in time. The same events may be given again.
        """
        if len(self._waiting) + len(arrivals) > self._settings.waiting_max:
            self.counters["events_refused"] += len(arrivals)
            raise Unavailable("too many events wait for the journal")
        waiting = [_Waiting(arrival) for arrival in arrivals]
        self._waiting += waiting
        self._work.set()
        with trio.move_on_after(self._settings.commit_timeout_s):
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
                nursery.start_soon(self._look_for_others)
                nursery.start_soon(self._prune)
                nursery.start_soon(self._tell_pruned)
                nursery.start_soon(self._inspect)
        finally:
            with trio.CancelScope(shield=True), contextlib.suppress(Unavailable):  # a thread may be at work still
                await _in_thread(self._writer.shut, self._writing)
                await _in_thread(self._reader.shut, self._reading)

    async def page(
        self, interest: Interest, after: int, *, who: str = "", limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """Read older events, in turn with others who read. Raises Unavailable."""
        return await self._read(lambda journal: journal.page(interest, after, limit, max_bytes), who)

    async def refresh(self) -> None:
        """Pass on what another process has taken so far. Raises Unavailable."""
        async with self._turn:
            self._pass_on(await self._use(lambda journal, known: journal.newer(known)))

    async def latest(self, interest: Interest, limit: int, *, who: str = "") -> int:
        """The offset after which there are so many events, or as many as are found in time. Raises Unavailable."""
        return await self._read(lambda journal: journal.latest(interest, limit), who)

    async def last_webhook_at(self) -> int | None:
        """When Telnyx was heard of last, µs since 1970. Raises Unavailable."""
        return await self._read(lambda journal: journal.last_webhook_at())

    async def _read(self, work: Callable[[Journal], Answer], who: str = "") -> Answer:
        async with self._reads.turn(who):
            return await _in_thread(partial(self._reader.use, work), self._reading)

    async def _use(self, work: Callable[[Journal, int], Answer]) -> Answer:
        """Work with the journal and the offset that is known here. Only inside `_turn`. Raises Unavailable."""
        file, known, kept = self._file, self._known, self._settings.kept

        def in_thread(journal: Journal) -> tuple[Opened | None, Answer]:
            opened = _describe(journal, kept) if self._writer.opened != file else None
            return opened, work(journal, known if opened is None else opened.last)

        opened, answer = await _in_thread(partial(self._writer.use, in_thread), self._writing)
        if opened is not None:
            self._file, self._known = self._writer.opened, opened.last
            self.oldest, self.first = opened.oldest, opened.first
            logger.info("journal %s, last offset %d", opened.epoch, opened.last)
            self._on_opened(opened)
            self.ready.set()
        return answer

    async def _commit_all(self) -> None:
        while True:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
            await self._commit(batch)
            if not self._waiting:
                self._work = trio.Event()
                with trio.move_on_after(math.inf if self.ready.is_set() else REOPEN_S):
                    await self._work.wait()

    async def _commit(self, batch: list[_Waiting]) -> None:
        arrivals = [waiting.arrival for waiting in batch]
        try:
            async with self._turn:
                commit, used_bytes = await self._use(
                    lambda journal, known: (journal.commit(arrivals, known), journal.used_bytes)
                )
                self._pass_on(commit)
        except Unavailable as error:
            self._failed(str(error))
        else:
            self.counters["commits"] += 1
            self._succeeded()
            if used_bytes > self._max_bytes:
                self._full.set()
            for waiting, taken in zip(batch, commit.taken, strict=True):
                waiting.taken = taken
        for waiting in batch:
            waiting.done.set()

    def _pass_on(self, commit: Commit) -> None:
        if commit.entries:
            self._known = commit.entries[-1].offset
            self._on_commit(commit)

    def _failed(self, why: str) -> None:
        self.counters["commits_failed"] += 1
        if why != self._fault:
            logger.error("the journal can't be written: %s; webhooks are answered 503", why)
            self.failed.set()
            self.recovered = trio.Event()
        self._fault = why

    def _succeeded(self) -> None:
        if self._fault:
            logger.warning("the journal can be written again")
            self.recovered.set()
            self.failed = trio.Event()
        self._fault = ""

    async def _look_for_others(self) -> None:
        await self.ready.wait()
        began = trio.current_time()
        with trio.move_on_after(OVERLAP_S):
            while True:  # less and less often, as it becomes less likely
                await trio.sleep(max(OVERLAP_LOOK_S, (trio.current_time() - began) / 10))
                with contextlib.suppress(Unavailable):
                    await self.refresh()

    async def _prune(self) -> None:
        await self.ready.wait()
        while True:
            self._pruned = 0
            await self._quietly(self._prune_step, self._note_pruned)
            if self._pruned:
                await trio.sleep(PRUNE_BUSY_S)
            else:
                self._full = trio.Event()
                with trio.move_on_after(PRUNE_IDLE_S):
                    await self._full.wait()

    def _prune_step(self, journal: Journal, known: int) -> tuple[int, Gone, int]:
        del known
        now = time.time_ns() // 1000
        old, by_size = journal.prune(
            before=now - int(self._settings.keep_days * 86_400e6),
            max_bytes=self._max_bytes,
            fresh=now - FRESH_S * 1_000_000,
        )
        return old, by_size, journal.oldest_offset

    def _note_pruned(self, outcome: tuple[int, Gone, int]) -> None:
        old, by_size, self.oldest = outcome
        self._pruned = old + by_size.total()
        self.counters["events_pruned"] += old
        self.counters["events_pruned_by_size"] += by_size.total()
        for (call, kind), count in by_size.items():
            known = call in self._lost or len(self._lost) < PRUNED_CALLS_MAX
            self._lost.setdefault(call if known else None, Counter())[kind] += count

    async def _tell_pruned(self) -> None:
        """Tell now and then what had to go since the journal has no room for it. For ever."""
        while True:
            await trio.sleep(PRUNED_TOLD_S)
            lost, self._lost = self._lost, {}
            if lost:
                logger.error("the journal is full: %d events had to go", sum(map(Counter.total, lost.values())))
                with contextlib.suppress(Unavailable):
                    await self.record([_pruned_event(call, counts) for call, counts in lost.items()])

    @property
    def _max_bytes(self) -> int:
        return self._settings.journal_max_mb * 1024 * 1024

    async def _inspect(self) -> None:
        """Check a file that was too large to be checked before it was used."""
        await self.ready.wait()
        try:
            fault = await self._read(lambda journal: journal.check())
        except Unavailable as error:
            logger.warning("the journal could not be checked: %s", error)
            return
        if fault is not None:
            async with self._turn:
                with contextlib.suppress(Unavailable):  # the next use finds out again
                    await _in_thread(partial(self._writer.condemn, fault), self._writing)

    async def _quietly(self, work: Callable[[Journal, int], Answer], then: Callable[[Answer], None]) -> None:
        """Work that can wait for better times."""
        try:
            async with self._turn:
                then(await self._use(work))
        except Unavailable as error:
            logger.debug("journal: %s", error)


def _pruned_event(call: str | None, counts: Counter[str]) -> Arrival:
    about = {} if call is None else {"call_control_id": call}
    now = time.time_ns() // 1000
    return own_event(PRUNED, {**about, "pruned": dict(counts)}, name=f"{PRUNED} {call} {now}", occurred_at=now, now=now)


async def _in_thread(work: Callable[[], Answer], limiter: trio.CapacityLimiter) -> Answer:
    """Do blocking work in a thread.

    Raises:
        Unavailable: it says so; or there is no thread, no memory or no descriptor for it now.
    """
    try:
        return await trio.to_thread.run_sync(work, limiter=limiter)
    except (MemoryError, OSError) as error:
        raise Unavailable(f"this machine has run out of something: {error!r}") from error
    except RuntimeError as error:
        if "thread" not in str(error):
            raise
        raise Unavailable(str(error)) from error


def _describe(journal: Journal, kept: int) -> Opened:
    with journal.unchanging():  # a predecessor still writes: no event may come between the newest and the last offset
        entries = journal.newest(kept)
        last, oldest, calls = journal.last_offset, journal.oldest_offset, journal.live_calls()
        return Opened(journal.epoch, last, oldest, entries, calls, journal.first_offset)
