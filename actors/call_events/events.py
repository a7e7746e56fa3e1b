"""One call event: read from Telnyx's webhook envelope or from an inside frame, written as clients get it.

Pure. The payload stays the JSON that it was, decoded only to be checked and to learn which call it is about.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import orjson

TEXT_MAX_CHARS = 256  # of an id, a type, a time; ids are remembered for a while


Source = Literal["telnyx", "inside"]  # whose form a body has


class MalformedEvent(Exception):
    """Not an event. The text says what is wrong with it, in one line, and quotes nothing of it."""


@dataclass(frozen=True)
class Event:
    """What happened to a call.

    Attributes:
        id: the same however often the event arrives.
        type: Telnyx's `event_type`, or ours (`stream.started`).
        occurred_at: ISO 8601, as whoever saw it happen wrote it.
        payload: a JSON object.
        call_control_id: the call it is about; None when the payload names none.
    """

    id: str
    type: str
    occurred_at: str
    payload: bytes
    call_control_id: str | None


@dataclass(frozen=True)
class Arrival:
    """An event with the bytes that it came in.

    Attributes:
        body: as received; what the journal keeps.
        received_at: µs since 1970.
    """

    event: Event
    source: Source
    body: bytes
    received_at: int


def parse(source: Source, body: bytes, *, received_at: str) -> Event:
    """Read an event of either form.

    Raises:
        MalformedEvent: likewise.
    """
    return (parse_webhook if source == "telnyx" else parse_inside)(body, received_at=received_at)


def parse_webhook(body: bytes, *, received_at: str) -> Event:
    """Read Telnyx's envelope, `{"data": {"event_type", "id", "occurred_at", "payload"}}` (API version 2).

    Telnyx documents every field as optional. An event needs a type; what else is missing is made up: the time is that
    of arrival, and the id a digest of `data`, which a retry sends unchanged.

    Raises:
        MalformedEvent: not JSON, or not that envelope.
    """
    envelope = _object(_decode(body), "the body")
    data = _object(envelope.get("data"), "data")
    return _event(data, "event_type", received_at)


def parse_inside(frame: bytes, *, received_at: str) -> Event:
    """Read an event of another actor, `{"id", "type", "occurred_at", "payload"}`.

    Raises:
        MalformedEvent: likewise.
    """
    return _event(_object(_decode(frame), "the frame"), "type", received_at)


def encode(event: Event, *, offset: int, epoch: str) -> bytes:
    """Write an event as `/call-events` and the bus carry it (wire contract §2)."""
    return orjson.dumps(
        {
            "type": event.type,
            "id": event.id,
            "occurred_at": event.occurred_at,
            "occurredAt": event.occurred_at,
            "payload": orjson.Fragment(event.payload),
            "offset": offset,
            "epoch": epoch,
        }
    )


def _event(data: dict[str, Any], type_key: str, received_at: str) -> Event:
    payload = _object(data.get("payload", {}), "payload")
    call = payload.get("call_control_id")
    occurred_at = data.get("occurred_at")
    identity = data.get("id")
    if identity is None:
        identity = hashlib.sha256(_encode(data)).hexdigest()
    return Event(
        id=_text(identity, "id"),
        type=_text(data.get(type_key), type_key),
        occurred_at=occurred_at if _is_text(occurred_at) else received_at,
        payload=_encode(payload),
        call_control_id=call if isinstance(call, str) else None,
    )


def _decode(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedEvent("not JSON") from error


def _encode(value: dict[str, Any]) -> bytes:
    """Deeply nested JSON can be read but not written; found here, where it can still be refused."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise MalformedEvent("nested too deeply") from error


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedEvent(f"{name} is not an object")
    return value


def _text(value: Any, name: str) -> str:
    if not _is_text(value):
        raise MalformedEvent(f"{name} is not a text of 1 to {TEXT_MAX_CHARS} characters")
    return value


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX_CHARS
