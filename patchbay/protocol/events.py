"""Lists Patchbay's own event types, and packs events as actors send them to `call_events`. Pure.

docs/events.md quotes the table, and a test compares the two. Telnyx's own types (`call.…`, `streaming.…`) are Telnyx's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from patchbay.protocol.lenient_json import encode_any

Sender = Literal["ingest", "fan-out", "ingest, fan-out", "call_events", "supervisor"]

STREAM_STARTED: Final = "stream.started"
STREAM_STOPPED: Final = "stream.stopped"
STREAM_FAILED: Final = "stream.failed"
STREAM_CONTESTED: Final = "stream.contested"
STREAM_DTMF: Final = "stream.dtmf"
STREAM_ERROR: Final = "stream.error"
STREAM_MARK: Final = "stream.mark"
LISTENER_JOINED: Final = "listener.joined"
LISTENER_LEFT: Final = "listener.left"
FLOOR_TAKEN: Final = "floor.taken"
FLOOR_RELEASED: Final = "floor.released"
EVENTS_LOST: Final = "events.lost"
EVENTS_PRUNED: Final = "events.pruned"
CALL_LOST: Final = "call.lost"
ACTOR_RESTARTED: Final = "actor.restarted"

OF_STREAM: Final = ("call_session_id", "stream_id", "from", "to")
OF_LISTENER: Final = ("stream_id", "connection", "peer", "sub", "folded")


@dataclass(frozen=True)
class EventType:
    """Describes a type of event.

    Attributes:
        sender: the actor that sends the event; for `supervisor`, call_events makes it from the supervisor's reports.
        payload: the fields of its payload, besides `call_control_id`.
    """

    sender: Sender
    payload: tuple[str, ...]


TABLE: Final[dict[str, EventType]] = {
    STREAM_STARTED: EventType("ingest", (*OF_STREAM, "media_format")),
    STREAM_STOPPED: EventType("ingest", (*OF_STREAM, "frames")),
    STREAM_FAILED: EventType("ingest", (*OF_STREAM, "reason")),
    STREAM_CONTESTED: EventType("ingest", (*OF_STREAM, "times", "closed_after_s")),
    STREAM_DTMF: EventType("ingest", (*OF_STREAM, "digit")),
    STREAM_ERROR: EventType("ingest", (*OF_STREAM, "code", "title", "detail")),
    STREAM_MARK: EventType("ingest", (*OF_STREAM, "name")),
    LISTENER_JOINED: EventType("fan-out", (*OF_LISTENER, "track")),
    LISTENER_LEFT: EventType("fan-out", OF_LISTENER),
    FLOOR_TAKEN: EventType("fan-out", (*OF_LISTENER, "talker")),
    FLOOR_RELEASED: EventType("fan-out", (*OF_LISTENER, "talker")),
    EVENTS_LOST: EventType("ingest, fan-out", ("stream_id", "connection", "lost")),
    EVENTS_PRUNED: EventType("call_events", ("pruned",)),
    CALL_LOST: EventType("call_events", ("last_event_at",)),
    ACTOR_RESTARTED: EventType("supervisor", ("actor", "generation", "pid")),
}

# A peer can cause any number of these events. They are kept apart, so that they displace no other event.
FLOODS: Final = frozenset({STREAM_DTMF, STREAM_MARK, STREAM_ERROR})
# Events of who heard and who spoke: a full journal deletes them last.
AUDIT: Final = frozenset({LISTENER_JOINED, LISTENER_LEFT, FLOOR_TAKEN, FLOOR_RELEASED})


def pack_event(event_id: str, event_type: str, occurred_at: str, payload: dict[str, Any]) -> bytes:
    """Pack an event as actors send it, and as the journal keeps it.

    Args:
        occurred_at: ISO 8601; see `patchbay.protocol.times`.

    Raises:
        TypeError: the payload is not JSON.
    """
    return encode_any({"id": event_id, "type": event_type, "occurred_at": occurred_at, "payload": payload})
