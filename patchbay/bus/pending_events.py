"""Keeps events that are not acknowledged yet, and decides which are due, and which go when there are too many. Pure.

There are two queues. One holds events that must not be lost (who heard and said what, which streams there were). The other
holds events that a peer can cause without end (keys, marks, errors), and can't push out those of the first. In each, the
source with the most events loses its oldest, so that a flood costs its own source only. Operations take constant time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from patchbay.protocol.events import FLOODS

RESEND_FIRST_S: Final = 1.0  # an event not acknowledged by then is sent again; the wait doubles …
RESEND_MAX_S: Final = 15.0  # … up to this
FLOOD_SHARE: Final = 4  # the queue of floods is so much smaller
FLOOD_OF_SOURCE: Final = 100  # events of these kinds of one source
LOST_SOURCES_MAX: Final = 1000  # about which it is remembered what they have lost
ABOUT: Final = ("call_control_id", "stream_id", "connection")

_Queue = OrderedDict[str, None]


@dataclass(eq=False)
class Event:
    """Holds an event that is to be sent. `source`: who caused it, a connection's number for example."""

    id: str
    type: str
    source: object
    frame: bytes
    payload: dict[str, Any] = field(default_factory=dict)
    due_at: float = 0.0
    wait_s: float = RESEND_FIRST_S
    queue: _Queue = field(default_factory=OrderedDict)  # that it is in now


class EventQueue:
    """Holds a bounded number of events.

    Args:
        limit: of all. of_source: of one source.
    """

    def __init__(self, limit: int, of_source: int) -> None:
        self._limit = limit
        self._of_source = of_source
        self._events: dict[str, Event] = {}
        self._fresh: _Queue = OrderedDict()
        self._sent: dict[float, _Queue] = {}  # by the wait, so each is in the order in which its events are due
        self._sources: dict[object, _Queue] = {}
        self._by_size: dict[int, OrderedDict[object, None]] = {}  # sources by how many they have
        self._most = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event) -> Event | None:
        """Add an event. Returns the event that is dropped for it."""
        self._events[event.id] = event
        self._enqueue(event, self._fresh)
        mine = self._sources.setdefault(event.source, OrderedDict())
        mine[event.id] = None
        self._resized(event.source, len(mine) - 1, len(mine))
        if len(mine) > self._of_source:
            return self.remove(next(iter(mine)))
        if len(self._events) > self._limit:
            greatest = next(iter(self._by_size[self._most]))
            return self.remove(next(iter(self._sources[greatest])))
        return None

    def remove(self, event_id: str) -> Event | None:
        """Remove an event; None: it is not here."""
        event = self._events.pop(event_id, None)
        if event is not None:
            del event.queue[event_id]
            mine = self._sources[event.source]
            del mine[event_id]
            self._resized(event.source, len(mine) + 1, len(mine))
            if not mine:
                del self._sources[event.source]
        return event

    def first_due(self, now: float) -> Event | None:
        """Return the next event to be sent: those never sent, oldest first; then those whose wait is over."""
        if self._fresh:
            return self._events[next(iter(self._fresh))]
        for queue in self._sent.values():
            if queue and (event := self._events[next(iter(queue))]).due_at <= now:
                return event
        return None

    def sent(self, event: Event, now: float) -> None:
        """Note that an event was sent: it is due again later, and later each time."""
        event.due_at = now + event.wait_s
        del event.queue[event.id]
        self._enqueue(event, self._sent.setdefault(event.wait_s, OrderedDict()))
        event.wait_s = min(event.wait_s * 2, RESEND_MAX_S)

    @staticmethod
    def _enqueue(event: Event, queue: _Queue) -> None:
        queue[event.id] = None
        event.queue = queue

    def _resized(self, source: object, before: int, now: int) -> None:
        if before:
            del self._by_size[before][source]
            if not self._by_size[before]:
                del self._by_size[before]
        if now:
            self._by_size.setdefault(now, OrderedDict())[source] = None
        if now > self._most or self._most not in self._by_size:
            self._most = now  # the greatest has one more, or one less: nobody else can have as many then


class PendingEvents:
    """Holds both queues.

    Attributes:
        dropped: events that went unsent, or unacknowledged, by type.
    """

    def __init__(self, limit: int) -> None:
        floods = max(limit // FLOOD_SHARE, 1)
        self._main = EventQueue(limit, limit)
        self._floods = EventQueue(floods, min(floods, FLOOD_OF_SOURCE))
        self._lost: OrderedDict[object, tuple[dict[str, Any], Counter[str]]] = OrderedDict()
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._main) + len(self._floods)

    def add(self, event: Event) -> None:
        """Add an event; it is due at once."""
        gone = self._queue_of(event).add(event)
        if gone is not None:
            self._drop(gone)

    def acknowledge(self, event_id: str) -> bool:
        """Remove an event that was acknowledged. Returns False when it was not waited for."""
        return (self._main.remove(event_id) or self._floods.remove(event_id)) is not None

    def first_due(self, now: float) -> Event | None:
        """Return the next event to be sent; floods come last."""
        return self._main.first_due(now) or self._floods.first_due(now)

    def sent(self, event: Event, now: float) -> None:
        """Note that an event was sent."""
        self._queue_of(event).sent(event, now)

    def take_lost(self) -> list[tuple[object, dict[str, Any]]]:
        """Return what sources have lost since the last call: by source, the payload of an event that says so."""
        lost = [(source, {**about, "lost": dict(counts)}) for source, (about, counts) in self._lost.items()]
        self._lost.clear()
        return lost

    def _queue_of(self, event: Event) -> EventQueue:
        return self._floods if event.type in FLOODS else self._main

    def _drop(self, event: Event) -> None:
        self.dropped[event.type] += 1
        source = event.source
        if source not in self._lost and len(self._lost) >= LOST_SOURCES_MAX:
            source = None  # all others together
        about: dict[str, Any] = (
            {} if source is None else {name: event.payload[name] for name in ABOUT if name in event.payload}
        )
        self._lost.setdefault(source, (about, Counter()))[1][event.type] += 1
