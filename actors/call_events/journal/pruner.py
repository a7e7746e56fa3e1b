"""Prunes the journal by age and size, and records which events were pruned by size."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

import trio

from actors.call_events.internal_events import own_event
from actors.call_events.journal.interface import Unavailable
from patchbay.protocol import events

if TYPE_CHECKING:
    from actors.call_events.events import Arrival
    from actors.call_events.journal.interface import Record
    from actors.call_events.journal.session import WriteSession
    from config.settings import EventSettings

logger = logging.getLogger(__name__)

IDLE_S = 60.0
BUSY_S = 0.05
FRESH_S = 600  # ids of webhooks stay known for so long, if possible: twice the tolerance of signatures
REPORT_INTERVAL_S = 60.0
REPORTED_CALLS_MAX = 100  # calls with an event of their own; events of all others are counted together


class JournalPruner:
    """Deletes events that are too old, and others while the journal is full.

    Args:
        record: writes the events `events.pruned`.

    Attributes:
        counters: `events_pruned` (too old), `events_pruned_by_size`.
    """

    def __init__(self, session: WriteSession, settings: EventSettings, record: Record) -> None:
        self._session = session
        self._keep_us = int(settings.keep_days * 86_400e6)
        self._max_bytes = settings.journal_max_mb * 1024 * 1024
        self._record = record
        self._full = trio.Event()
        self._unreported: dict[str | None, Counter[str]] = {}  # events pruned by size, by call and type
        self.counters: Counter[str] = Counter()

    def check_size(self, used_bytes: int) -> None:
        """Prune soon if the journal uses too many bytes."""
        if used_bytes > self._max_bytes:
            self._full.set()

    async def prune(self) -> None:
        """Prune when the journal is full, and once a minute, until cancelled."""
        await self._session.ready.wait()
        while True:
            if await self._step():
                await trio.sleep(BUSY_S)
            else:
                self._full = trio.Event()
                with trio.move_on_after(IDLE_S):
                    await self._full.wait()

    async def report(self) -> None:
        """Record once a minute which events were pruned by size, until cancelled."""
        while True:
            await trio.sleep(REPORT_INTERVAL_S)
            pruned, self._unreported = self._unreported, {}
            if pruned:
                total = sum(map(Counter.total, pruned.values()))
                logger.error(
                    "the journal is full: %d events were deleted; raise events.journal_max_mb to keep more", total
                )
                with contextlib.suppress(Unavailable):
                    await self._record([_pruned_event(call, counts) for call, counts in pruned.items()])

    async def _step(self) -> int:
        """Prune some events, and return how many. Return 0 when the journal is unavailable; the next step prunes."""
        now = time.time_ns() // 1000
        try:
            old, by_size = await self._session.prune(
                before=now - self._keep_us, max_bytes=self._max_bytes, fresh=now - FRESH_S * 1_000_000
            )
        except Unavailable as error:
            logger.debug("the journal can't be pruned now: %s", error)
            return 0
        self.counters["events_pruned"] += old
        self.counters["events_pruned_by_size"] += by_size.total()
        for (call, kind), count in by_size.items():
            is_named = call in self._unreported or len(self._unreported) < REPORTED_CALLS_MAX
            self._unreported.setdefault(call if is_named else None, Counter())[kind] += count
        return old + by_size.total()


def _pruned_event(call: str | None, counts: Counter[str]) -> Arrival:
    about = {} if call is None else {"call_control_id": call}
    now, kind = time.time_ns() // 1000, events.EVENTS_PRUNED
    return own_event(kind, {**about, "pruned": dict(counts)}, name=f"{kind} {call} {now}", occurred_at=now, now=now)
