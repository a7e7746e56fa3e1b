"""Sends an actor's events to `call_events`, at least once: kept until acknowledged, sent again until then.

`PendingEvents` is pure and takes the time as an argument; `EventSender` puts it on the bus. Ids make a repeat harmless
at the other end.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.25  # how soon a peer that came back gets what it missed
RESEND_FIRST_S = 1.0  # an event not acknowledged by then is sent again; the wait doubles …
RESEND_MAX_S = 15.0  # … up to this


class Dealer(Protocol):
    """What is needed of the bus: `bus.dealer("call_events", "in")`."""

    async def receive_many(self, limit: int = 64) -> list[bytes]: ...

    def send_nowait(self, frame: bytes) -> bool: ...


@dataclass
class _Pending:
    frame: bytes
    due_at: float
    wait_s: float = RESEND_FIRST_S


class PendingEvents:
    """Events not acknowledged yet, oldest first; beyond `limit` the oldest goes and is counted in `dropped`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: dict[str, _Pending] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event_id: str, frame: bytes, now: float) -> None:
        """Keep an event; it is due at once."""
        self._events[event_id] = _Pending(frame, due_at=now)
        if len(self._events) > self._limit:
            del self._events[next(iter(self._events))]
            self.dropped += 1

    def acknowledge(self, event_id: str) -> bool:
        """Let go of an event; False when it was not waited for."""
        return self._events.pop(event_id, None) is not None

    def due(self, now: float) -> Iterator[tuple[str, bytes]]:
        """Those to be sent now. Nothing may be added or acknowledged while this is iterated over."""
        return ((event_id, event.frame) for event_id, event in self._events.items() if event.due_at <= now)

    def sent(self, event_id: str, now: float) -> None:
        """An event has left: it is due again later, and later each time."""
        event = self._events[event_id]
        event.due_at = now + event.wait_s
        event.wait_s = min(event.wait_s * 2, RESEND_MAX_S)


class EventSender:
    """The sending side. `run` must be running for acknowledgements and repeats; the socket is closed by its maker.

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

    def send_nowait(self, event_type: str, payload: dict[str, Any], occurred_at: str | None = None) -> None:
        """Send an event as soon as `call_events` can take it. Never waits, never fails.

        Args:
            event_type: `stream.started`, say.
            payload: JSON; `call_control_id` in it says which call it is about.
            occurred_at: ISO 8601; now, when it is not given.
        """
        event_id = str(uuid.uuid4())
        when = occurred_at or datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        try:
            frame = orjson.dumps({"id": event_id, "type": event_type, "occurred_at": when, "payload": payload})
        except orjson.JSONEncodeError as error:
            # A payload is in part what a peer sent, and a peer can nest deeper than can be written.
            logger.warning("event %s left out: %s", event_type, error)
            self.counters["events_unwritable"] += 1
            return
        self._pending.add(event_id, frame, trio.current_time())
        self._send_due()
        self._waiting.set()

    async def run(self) -> None:
        """Take acknowledgements and send again what got none, for ever. Cancelling loses nothing but these repeats."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._resend)
            while True:
                for event_id in await self._dealer.receive_many():
                    if self._pending.acknowledge(event_id.decode("utf-8", "replace")):
                        self.counters["events_acknowledged"] += 1
                if not len(self._pending):
                    self._all_acknowledged.set()

    def statistics(self) -> dict[str, int]:
        """Counters, and how much waits."""
        return {
            **self.counters,
            "events_unacknowledged": len(self._pending),
            "events_dropped": self._pending.dropped,
        }

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
        for event_id, frame in list(self._pending.due(now)):
            if not self._dealer.send_nowait(frame):
                return  # no peer, or a full one: the rest would fare no better
            self._pending.sent(event_id, now)
            self.counters["events_sent"] += 1
