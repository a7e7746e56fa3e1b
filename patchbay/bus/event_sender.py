"""Sends an actor's events to `call_events` at least once: each is kept, and sent again, until it is acknowledged.

`pending_events` decides which events are kept and which are due. Ids let the receiver discard repeats. Events that
could not be kept are reported by an event `events.lost`, as soon as acknowledgements arrive again.
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

RESEND_INTERVAL_S: Final = 0.25  # how often events that are due are sent
# At least so long between two batches of acknowledgements: a flood of events wakes the task rarely.
ACKNOWLEDGED_APART_S: Final = 0.01
ACKNOWLEDGED_AT_ONCE: Final = 64


class Dealer(Protocol):
    """Sends and receives frames, as `bus.dealer("call_events", "in")` does."""

    async def receive_many(self, limit: int = 64) -> list[bytes]: ...

    def send_nowait(self, frame: bytes) -> bool: ...


class EventSender:
    """Sends events. `run` must be running, for acknowledgements and repeats. The maker of the socket closes it.

    Args:
        dealer: a DEALER on `call_events`' endpoint `in`.
        limit: how many events are kept until they are acknowledged.

    Attributes:
        counters: `events_sent` (with repeats), `events_acknowledged`, `events_unwritable` (not JSON).
    """

    def __init__(self, dealer: Dealer, *, limit: int) -> None:
        self._dealer = dealer
        self._pending = PendingEvents(limit)
        self._has_pending = trio.Event()
        self._all_acknowledged = trio.Event()
        self.counters: Counter[str] = Counter()

    def send_nowait(
        self, event_type: str, payload: dict[str, Any], occurred_at: str | None = None, source: Hashable = None
    ) -> None:
        """Keep an event and send it as soon as `call_events` can take it. Never waits and never raises.

        Args:
            event_type: `stream.started`, say.
            payload: JSON; its `call_control_id` names the call.
            occurred_at: ISO 8601; None: now.
            source: who has caused the event, for limits by source; None: the payload's `connection`.
        """
        event_id = str(uuid.uuid4())
        when = occurred_at or timestamp(time.time_ns() // 1000)
        try:
            frame = pack_event(event_id, event_type, when, payload)
        except TypeError as error:
            logger.error("event %s can't be written as JSON, and is not sent: %s", event_type, error)
            self.counters["events_unwritable"] += 1
            return
        source = payload.get("connection") if source is None else source
        self._pending.add(Event(event_id, event_type, source, frame, payload))
        self._send_due()
        self._has_pending.set()

    async def run(self) -> None:
        """Receive acknowledgements and repeat unacknowledged events, until cancelled. Cancelling loses no event."""
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
        """Return counters for `/metrics`. `events_dropped_floods` counts dropped events of the types in FLOODS."""
        dropped = self._pending.dropped
        floods = sum(dropped[kind] for kind in FLOODS)
        return {**self.counters, "events_dropped": dropped.total(), "events_dropped_floods": floods}

    async def flush(self) -> None:
        """Wait until all events are acknowledged. The caller sets a timeout, since no receiver may be there."""
        if len(self._pending):
            self._all_acknowledged = trio.Event()
            await self._all_acknowledged.wait()

    async def _resend(self) -> None:
        while True:
            await self._has_pending.wait()
            await trio.sleep(RESEND_INTERVAL_S)
            self._send_due()
            if not len(self._pending):
                self._has_pending = trio.Event()

    def _send_due(self) -> None:
        now = trio.current_time()
        while (event := self._pending.first_due(now)) is not None:
            if not self._dealer.send_nowait(event.frame):
                return  # no peer, or its queue is full
            self._pending.mark_sent(event, now)
            self.counters["events_sent"] += 1

    def _report_lost(self) -> None:
        for source, payload in self._pending.take_lost():
            logger.error(
                "events were lost, since too many were not acknowledged: %s",
                payload["lost"],
                extra=_log_fields(payload),
            )
            self.send_nowait(EVENTS_LOST, payload, source=source)


def _log_fields(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name != "lost"}
