"""Holds events until they are acknowledged: which are due, and which are dropped when there are too many. Pure.

There are two queues. One has the audit (who heard and said what, which streams there were). The other has events that
a peer can cause without limit (DTMF, marks, errors), which so can't displace the audit. A full queue drops the oldest
event of the source that has the most, so a flood displaces only events of its own source. Each operation takes constant
time, besides its result.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from patchbay.protocol.events import FLOODS

RESEND_FIRST_S: Final = 1.0  # until the first repeat; then the interval doubles …
RESEND_MAX_S: Final = 15.0  # … up to this
FLOOD_SHARE: Final = 4  # the queue of FLOODS is so many times smaller
FLOOD_SOURCE_MAX: Final = 100  # events of the types in FLOODS of one source
LOST_SOURCES_MAX: Final = 1000  # whose lost events are counted one by one
LOST_FIELDS: Final = ("call_control_id", "stream_id", "connection")

_Queue = OrderedDict[str, None]


@dataclass(eq=False)
class Event:
    """Describes an event that is not acknowledged.

    Attributes:
        source: who has caused the event, such as a connection's number.
        frame: the event as it is sent.
        due_at: when it is sent again.
        wait_s: the interval until the next repeat.
        queue: the part of its `EventQueue` that holds its id.
    """

    id: str
    type: str
    source: object
    frame: bytes
    payload: dict[str, Any] = field(default_factory=dict)
    due_at: float = 0.0
    wait_s: float = RESEND_FIRST_S
    queue: _Queue = field(default_factory=OrderedDict)


class EventQueue:
    """Holds a bounded number of events.

    Args:
        limit: how many events of all sources.
        source_limit: how many events of one source.
    """

    def __init__(self, limit: int, source_limit: int) -> None:
        self._limit = limit
        self._source_limit = source_limit
        self._events: dict[str, Event] = {}
        self._fresh: _Queue = OrderedDict()
        self._sent: dict[float, _Queue] = {}  # by `wait_s`, so each queue is in the order of `due_at`
        self._sources: dict[object, _Queue] = {}
        self._by_size: dict[int, OrderedDict[object, None]] = {}  # sources by the number of their events
        self._most = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event) -> Event | None:
        """Add an event, and return the event that was dropped for it, if any."""
        self._events[event.id] = event
        self._enqueue(event, self._fresh)
        mine = self._sources.setdefault(event.source, OrderedDict())
        mine[event.id] = None
        self._move_source(event.source, len(mine) - 1, len(mine))
        if len(mine) > self._source_limit:
            return self.remove(next(iter(mine)))
        if len(self._events) > self._limit:
            greatest = next(iter(self._by_size[self._most]))
            return self.remove(next(iter(self._sources[greatest])))
        return None

    def remove(self, event_id: str) -> Event | None:
        """Remove and return an event; None: it is not here."""
        event = self._events.pop(event_id, None)
        if event is not None:
            del event.queue[event_id]
            mine = self._sources[event.source]
            del mine[event_id]
            self._move_source(event.source, len(mine) + 1, len(mine))
            if not mine:
                del self._sources[event.source]
        return event

    def first_due(self, now: float) -> Event | None:
        """Return the event to be sent next: the oldest that was never sent, else one that is due again."""
        if self._fresh:
            return self._events[next(iter(self._fresh))]
        for queue in self._sent.values():
            if queue and (event := self._events[next(iter(queue))]).due_at <= now:
                return event
        return None

    def mark_sent(self, event: Event, now: float) -> None:
        """Note that an event was sent, and schedule its repeat."""
        event.due_at = now + event.wait_s
        del event.queue[event.id]
        self._enqueue(event, self._sent.setdefault(event.wait_s, OrderedDict()))
        event.wait_s = min(event.wait_s * 2, RESEND_MAX_S)

    @staticmethod
    def _enqueue(event: Event, queue: _Queue) -> None:
        queue[event.id] = None
        event.queue = queue

    def _move_source(self, source: object, before: int, now: int) -> None:
        if before:
            del self._by_size[before][source]
            if not self._by_size[before]:
                del self._by_size[before]
        if now:
            self._by_size.setdefault(now, OrderedDict())[source] = None
        if now > self._most or self._most not in self._by_size:
            self._most = now  # the largest source has one event more, or one less


class PendingEvents:
    """Holds the events that are not acknowledged, in two queues.

    Args:
        limit: how many events of the audit are kept.

    Attributes:
        dropped: how many events were dropped, by type.
    """

    def __init__(self, limit: int) -> None:
        floods = max(limit // FLOOD_SHARE, 1)
        self._audit = EventQueue(limit, limit)
        self._floods = EventQueue(floods, min(floods, FLOOD_SOURCE_MAX))
        self._lost: OrderedDict[object, tuple[dict[str, Any], Counter[str]]] = OrderedDict()
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._audit) + len(self._floods)

    def add(self, event: Event) -> None:
        """Add an event, which is due at once."""
        dropped = self._queue_of(event).add(event)
        if dropped is not None:
            self._count_dropped(dropped)

    def acknowledge(self, event_id: str) -> bool:
        """Remove an event. Return False when it is not here."""
        return (self._audit.remove(event_id) or self._floods.remove(event_id)) is not None

    def first_due(self, now: float) -> Event | None:
        """Return the event to be sent next, those of the audit first; None: none is due."""
        return self._audit.first_due(now) or self._floods.first_due(now)

    def mark_sent(self, event: Event, now: float) -> None:
        """Note that an event was sent, and schedule its repeat."""
        self._queue_of(event).mark_sent(event, now)

    def take_lost(self) -> list[tuple[object, dict[str, Any]]]:
        """Return each source that has lost events since the last call, with the payload of an `events.lost` event."""
        lost = [(source, {**about, "lost": dict(counts)}) for source, (about, counts) in self._lost.items()]
        self._lost.clear()
        return lost

    def _queue_of(self, event: Event) -> EventQueue:
        return self._floods if event.type in FLOODS else self._audit

    def _count_dropped(self, event: Event) -> None:
        self.dropped[event.type] += 1
        source = event.source
        if source not in self._lost and len(self._lost) >= LOST_SOURCES_MAX:
            source = None  # counted together
        about: dict[str, Any] = (
            {} if source is None else {name: event.payload[name] for name in LOST_FIELDS if name in event.payload}
        )
        self._lost.setdefault(source, (about, Counter()))[1][event.type] += 1
