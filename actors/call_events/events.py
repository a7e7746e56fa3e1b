"""Reads call events, of Telnyx's webhook envelope or of another actor, and writes them as clients get them. Pure.

The type and the payload of an event are read strictly. Other fields are read leniently
(`patchbay.protocol.lenient_json`): malformed ones are replaced and named in `mended`. So clients get valid JSON.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

import orjson

from patchbay.protocol.lenient_json import Malformed, decode_object, encode_any, is_whole
from patchbay.protocol.query import ID_MAX_CHARS
from patchbay.protocol.times import occurred_at

TEXT_MAX_CHARS = 256  # of an id or a type
OLD_API = (
    "a webhook of API version 1, which says too little: in Telnyx's portal, set the Webhook API Version of the Voice API "
    "application to API v2"
)

Source = Literal["telnyx", "inside"]  # the form of a body


class MalformedEvent(Exception):
    """Reports bytes that are no event. The text gives the reason in one line, and quotes no bytes."""


class OldApi(MalformedEvent):
    """Reports an event of API version 1. The text says what to set at Telnyx."""


@dataclass(frozen=True)
class Event:
    """Holds one event of a call.

    Attributes:
        id: stays the same when the event is repeated.
        type: Telnyx's `event_type`, or ours (`stream.started`).
        occurred_at: ISO 8601, as the sender wrote it; see `patchbay.protocol.times`.
        payload: a JSON object, as clients get it.
        call_control_id: the call of the event; None when the payload names none.
        fields: the decoded payload.
    """

    id: str
    type: str
    occurred_at: str
    payload: bytes
    call_control_id: str | None
    fields: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Arrival:
    """Holds an event with the bytes that it was read from.

    Attributes:
        body: the bytes as received, which the journal keeps.
        received_at: µs since 1970.
    """

    event: Event
    source: Source
    body: bytes
    received_at: int


def parse(source: Source, body: bytes, *, received_at: str) -> Event:
    """Read an event of either form. Raises MalformedEvent."""
    return (parse_webhook if source == "telnyx" else parse_inside)(body, received_at=received_at)


def parse_webhook(body: bytes, *, received_at: str, mended: list[str] | None = None) -> Event:
    """Read Telnyx's envelope, `{"data": {"event_type", "id", "occurred_at", "payload"}}` (API version 2).

    Telnyx documents every field as optional. Only the type is required here. Where others are missing or malformed, the
    time is that of arrival, and the id is a digest of `data`, which a retry sends unchanged.

    Raises:
        MalformedEvent: the body is not JSON, or not this envelope.
        OldApi: the envelope is that of API version 1.
    """
    mended = [] if mended is None else mended
    envelope = _decode(body, mended)
    data = envelope.get("data")
    if not isinstance(data, dict):
        _check_version(envelope)
        raise MalformedEvent("data is not an object")
    return _event(data, "event_type", received_at, mended)


def parse_inside(frame: bytes, *, received_at: str, mended: list[str] | None = None) -> Event:
    """Read an event of another actor, `{"id", "type", "occurred_at", "payload"}`. Raises MalformedEvent."""
    mended = [] if mended is None else mended
    return _event(_decode(frame, mended), "type", received_at, mended)


def encode(event: Event, *, offset: int, epoch: str) -> bytes:
    """Write an event as clients of `/call-events` get it (wire contract §2)."""
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


def _event(data: dict[str, Any], type_key: str, received_at: str, mended: list[str]) -> Event:
    event_type = data.get(type_key)
    if not _is_text(event_type) or not is_whole(event_type, mended):
        raise MalformedEvent(f"{type_key} is not a text of 1 to {TEXT_MAX_CHARS} characters")
    payload = data.get("payload", {})
    if not isinstance(payload, dict):
        raise MalformedEvent("payload is not an object")
    return Event(
        id=_identity(data, mended),
        type=event_type,
        occurred_at=occurred_at(data.get("occurred_at"), received_at, mended),
        payload=encode_any(payload),
        call_control_id=_call(payload, mended),
        fields=payload,
    )


def _identity(data: dict[str, Any], mended: list[str]) -> str:
    identity = data.get("id")
    if _is_text(identity) and is_whole(identity, mended):
        return identity
    if identity is not None:
        mended.append("id")
    return hashlib.sha256(encode_any(data)).hexdigest()


def _call(payload: dict[str, Any], mended: list[str]) -> str | None:
    call = payload.get("call_control_id")
    if call is None or (isinstance(call, str) and len(call) <= ID_MAX_CHARS and is_whole(call, mended)):
        return call
    mended.append("call_control_id")
    return None


def _check_version(envelope: dict[str, Any]) -> None:
    """Raise OldApi for an envelope of API version 1: it has `event_type` or `metadata`."""
    if isinstance(envelope.get("event_type"), str) or isinstance(envelope.get("metadata"), dict):
        raise OldApi(OLD_API)


def _decode(text: bytes, mended: list[str]) -> dict[str, Any]:
    try:
        return decode_object(text, mended)
    except Malformed as error:
        raise MalformedEvent(str(error)) from error


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX_CHARS
