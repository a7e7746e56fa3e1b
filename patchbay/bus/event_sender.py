"""Sends an actor's events to `call_events`, at least once: kept until acknowledged, sent again until then.

Which are kept, and which are due, is `pending_events`'s. Ids make a repeat harmless at the other end. What could not be
kept is told by an event of its own (`events.lost`) as soon as somebody acknowledges again.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio

from patchbay.bus.pending_events import Event, PendingEvents
from patchbay.protocol.events import EVENTS_LOST, FLOODS, pack_event
from patchbay.protocol.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Hashable

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S: Final = 0.25  # how soon a peer that came back gets what it missed
ACKNOWLEDGED_APART_S: Final = 0.01  # a flood of events wakes nobody for each of its acknowledgements
ACKNOWLEDGED_AT_ONCE: Final = 64


class Dealer(Protocol):
    """Sends to the bus and receives from it: `bus.dealer("call_events", "in")`."""

    async def receive_many(self, limit: int = 64) -> list[bytes]: ...

    def send_nowait(self, frame: bytes) -> bool: ...


class EventSender:
    """Sends events. `run` must be running for acknowledgements and repeats; whoever made the socket closes it.

    Args:
        dealer: a DEALER on `call_events`' endpoint `in`.
        limit: events kept while nobody acknowledges.

    Attributes:
        counters: `events_sent` (repeats too), `events_acknowledged`, `events_unwritable`.
    """

    def __init__(self, dealer: Dealer, *, limit: int) -> None:
        self._dealer = dealer
        self._pending = PendingEvents(limit)
        self._waiting = trio.Event()
        self._all_acknowledged = trio.Event()
        self.counters: Counter[str] = Counter()

    def send_nowait(
        self, event_type: str, payload: dict[str, Any], occurred_at: str | None = None, source: Hashable = None
    ) -> None:
        """Send an event as soon as `call_events` can take it. Never waits, never fails.

        Args:
            event_type: `stream.started`, say.
            payload: JSON; `call_control_id` in it says which call it is about.
            occurred_at: ISO 8601; now, when it is not given.
            source: whose doing it is; the connection that the payload names, when it is not given.
        """
        event_id = str(uuid.uuid4())
        when = occurred_at or timestamp(time.time_ns() // 1000)
        try:
            frame = pack_event(event_id, event_type, when, payload)
        except TypeError as error:
            logger.error("event %s left out: %s", event_type, error)
            self.counters["events_unwritable"] += 1
            return
        source = payload.get("connection") if source is None else source
        self._pending.add(Event(event_id, event_type, source, frame, payload))
        self._send_due()
        self._waiting.set()

    async def run(self) -> None:
        """Take acknowledgements and send again what got none, for ever. Cancelling loses nothing but these repeats."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._resend)
            while True:
                acknowledged = await self._dealer.receive_many(ACKNOWLEDGED_AT_ONCE)
                for event_id in acknowledged:
                    if self._pending.acknowledge(event_id.decode("utf-8", "replace")):
                        self.counters["events_acknowledged"] += 1
                self._report_lost()
                if not len(self._pending):
                    self._all_acknowledged.set()
                if len(acknowledged) < ACKNOWLEDGED_AT_ONCE:
                    await trio.sleep(ACKNOWLEDGED_APART_S)

    def totals(self) -> dict[str, int]:
        """Return the counters, for `/metrics`. `events_dropped_floods` counts dropped events that a peer can cause
        without end."""
        dropped = self._pending.dropped
        floods = sum(dropped[kind] for kind in FLOODS)
        return {**self.counters, "events_dropped": dropped.total(), "events_dropped_floods": floods}

    @property
    def waiting(self) -> int:
        """Return how many events have not been acknowledged."""
        return len(self._pending)

    async def flush(self) -> None:
        """Wait until everything has been acknowledged. Bound it: nobody may be there."""
        if len(self._pending):
            self._all_acknowledged = trio.Event()
            await self._all_acknowledged.wait()

    async def _resend(self) -> None:
        while True:
            await self._waiting.wait()
            await trio.sleep(LOOK_INTERVAL_S)
            self._send_due()
            if not len(self._pending):
                self._waiting = trio.Event()

    def _send_due(self) -> None:
        now = trio.current_time()
        while (event := self._pending.first_due(now)) is not None:
            if not self._dealer.send_nowait(event.frame):
                return  # no peer, or a full one: the rest would fare no better
            self._pending.sent(event, now)
            self.counters["events_sent"] += 1

    def _report_lost(self) -> None:
        for source, payload in self._pending.take_lost():
            logger.error("events were lost while they could not be kept: %s", payload["lost"], extra=_about(payload))
            self.send_nowait(EVENTS_LOST, payload, source=source)


def _about(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name != "lost"}
