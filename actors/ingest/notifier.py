"""Tells fan-outs and call events what happens to streams, beside their audio."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from patchbay.process.ttl_cache import TtlCache
from patchbay.protocol import batches
from patchbay.protocol.events import EVENTS_LOST

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from actors.ingest.stream.stream import Stream
    from patchbay.bus.batcher import Batcher, EntryQueue
    from patchbay.bus.event_sender import EventSender
    from patchbay.protocol.telnyx import Start

log = logging.getLogger(__name__)

LIVE_INTERVAL_S: Final = 2.0
LIVE_MAX: Final = 8192  # streams in one entry
ENDS_KEPT_S: Final = 15.0  # longer than a fan-out takes to come back
ENDS_MAX: Final = 1000


class Notifier:
    """Queues entries for fan-outs, and sends events to call events.

    Args:
        now: the clock, in seconds.
        on_queued: called when an entry waits for the next flush.
    """

    def __init__(
        self, batcher: Batcher, events: EventSender, now: Callable[[], float], on_queued: Callable[[], None]
    ) -> None:
        self._batcher = batcher
        self._events = events
        self._now = now
        self._on_queued = on_queued
        self._ends: TtlCache[bytes] = TtlCache(ENDS_KEPT_S, ENDS_MAX)  # entries, for fan-outs that come back
        self._next_live = float("-inf")

    def publish(self, stream: Stream, kind: int, payload: bytes) -> None:
        """Tell every fan-out: `kind` and `payload` as in `patchbay.protocol.batches`."""
        entry = _entry(stream, kind, payload)
        if kind in batches.ENDS:
            self._ends.put(stream.number, entry, self._now())
        for queue in self._batcher.all_queues():
            queue.append(entry)
        self._on_queued()

    def publish_live(self, streams: Iterable[Stream]) -> None:
        """Tell every fan-out which streams are live, not more often than every LIVE_INTERVAL_S."""
        if (now := self._now()) < self._next_live:
            return
        self._next_live = now + LIVE_INTERVAL_S
        for queue in self._batcher.all_queues():
            queue.extend(_live_entries(streams))

    def replay(
        self, queue: EntryQueue, streams: Collection[Stream], floor_entry: Callable[[Stream], bytes | None]
    ) -> None:
        """Tell a fan-out that has come what it may have missed: which streams have ended of late, and which are live.

        Args:
            floor_entry: returns the entry about the floor of a stream; None when nobody has the floor.
        """
        queue.extend(self._ends.all(self._now()))
        for stream in streams:
            if stream.start is not None:
                queue.append(_entry(stream, batches.START, stream.start.raw))
                if (floor := floor_entry(stream)) is not None:
                    queue.append(floor)
        queue.extend(_live_entries(streams))
        self._on_queued()

    def record(self, stream: Stream, event_type: str, payload: dict[str, Any], occurred_at: str | None = None) -> None:
        """Send an event to call events, with the fields of its call. `occurred_at`: ISO 8601; None: now."""
        self._events.send_nowait(
            event_type, {**event_fields(stream.start), **payload}, occurred_at, source=stream.number
        )

    def record_lost(self, stream: Stream) -> None:
        """Send one event about all events of this stream that were not recorded, if there are any."""
        if lost := stream.event_limit.take_unrecorded():
            log.warning("more events than are recorded: %s", lost, extra=stream.log_fields)
            self.record(stream, EVENTS_LOST, {"lost": lost})


def event_fields(start: Start | None) -> dict[str, Any]:
    """Return the fields that name a call in events and statistics."""
    if start is None:
        return {"stream_id": None}
    return {
        "call_control_id": start.call_control_id,
        "call_session_id": start.call_session_id,
        "stream_id": start.stream_id,
        "from": start.from_,
        "to": start.to,
    }


def _entry(stream: Stream, kind: int, payload: bytes) -> bytes:
    flags = batches.IN_ORDER if kind == batches.START and stream.in_order else 0
    return batches.news_entry(kind, stream.number, stream.call, payload, flags)


def _live_entries(streams: Iterable[Stream]) -> list[bytes]:
    """Return entries that name all live streams, LIVE_MAX in each; without streams, one empty entry."""
    numbers = [stream.number.to_bytes(8, "little") for stream in streams]
    parts = [b"".join(numbers[at : at + LIVE_MAX]) for at in range(0, len(numbers), LIVE_MAX)]
    return [batches.news_entry(batches.LIVE, 0, batches.EVERY_CALL, part) for part in parts or [b""]]
