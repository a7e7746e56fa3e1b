"""Events of the other actors: taken from the bus, recorded, and acknowledged by id once they are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from actors.call_events.events import Event, MalformedEvent, parse_inside
from actors.call_events.webhook import utc_now

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


class Router(Protocol):
    """What is needed of the bus: `bus.router("in")`."""

    async def receive_from(self, limit: int = 64) -> list[tuple[bytes, bytes]]: ...

    def send_to(self, routing_id: bytes, frame: bytes) -> bool: ...


async def take_events(router: Router, record: Callable[[Event], Awaitable[bool]], counters: Counter[str]) -> None:
    """Take events for ever. A repeat is acknowledged like the first: its acknowledgement may have been lost.

    An event that can't be read is our own fault in another actor; it is counted as `inside_malformed`, logged, and not
    acknowledged.
    """
    while True:
        for routing_id, frame in await router.receive_from():
            try:
                event = parse_inside(frame, received_at=utc_now())
            except MalformedEvent as error:
                logger.error("event from another actor refused: %s", error)
                counters["inside_malformed"] += 1
                continue
            await record(event)
            counters["inside"] += 1
            router.send_to(routing_id, event.id.encode())
