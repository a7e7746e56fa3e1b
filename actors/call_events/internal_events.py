"""Takes events of other actors from the bus, records them, and acknowledges each after its commit."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, Protocol

from actors.call_events.events import Arrival, MalformedEvent, parse_inside
from actors.call_events.journal.interface import Unavailable
from patchbay.protocol.events import pack_event
from patchbay.protocol.times import timestamp

if TYPE_CHECKING:
    from collections import Counter

    from actors.call_events.journal.interface import Record

logger = logging.getLogger(__name__)

NAMESPACE = uuid.UUID("6c1b8d1e-7b7e-4c39-8f0c-0d6f4f8a2b51")  # of ids that are made of an event's name


class Router(Protocol):
    """Receives from the bus, and sends to one peer, as `bus.router("in")` does."""

    async def receive_from(self, limit: int = 64) -> list[tuple[bytes, bytes]]: ...

    def send_to(self, routing_id: bytes, frame: bytes) -> bool: ...


async def take_events(router: Router, record: Record, counters: Counter[str]) -> None:
    """Take events until cancelled. A repeated event is acknowledged, too: the first acknowledgement may have been lost.

    Events that the journal can't take are not acknowledged, so they are sent again. A malformed event is a fault of
    ours in another actor: it is counted as `inside_malformed`, logged, and not acknowledged.
    """
    while True:
        batch = [(routing_id, _read(frame, counters)) for routing_id, frame in await router.receive_from()]
        good = [(routing_id, arrival) for routing_id, arrival in batch if arrival is not None]
        try:
            await record([arrival for _, arrival in good])
        except Unavailable:
            counters["inside_refused"] += len(good)
            continue
        counters["inside"] += len(good)
        for routing_id, arrival in good:
            router.send_to(routing_id, arrival.event.id.encode())


def own_event(event_type: str, payload: dict[str, Any], *, name: str, occurred_at: int, now: int) -> Arrival:
    """Make an event of this actor.

    Args:
        name: identifies the event: events with the same name have the same id.
        occurred_at, now: µs since 1970.
    """
    body = pack_event(str(uuid.uuid5(NAMESPACE, name)), event_type, timestamp(occurred_at), payload)
    return Arrival(parse_inside(body, received_at=timestamp(now)), "inside", body, now)


def _read(frame: bytes, counters: Counter[str]) -> Arrival | None:
    now, mended = time.time_ns() // 1000, list[str]()
    try:
        event = parse_inside(frame, received_at=timestamp(now), mended=mended)
        if mended:
            counters["inside_mended"] += 1
        return Arrival(event, "inside", frame, now)
    except MalformedEvent as error:
        logger.error("a malformed event of another actor is not recorded: %s", error)
        counters["inside_malformed"] += 1
        return None
