"""Telnyx's media streaming frames, both ways: JSON text, one object each.

Source: Telnyx's guide "Media Streaming over Websockets" and its AsyncAPI page, with the older OpenAPI text's spellings.
Knows nothing of sockets, calls or audio; unknown events and fields are accepted, numbers may be text.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from zlib import crc32

import msgspec

from actors.wire.lenient import (
    DECODE_ERRORS,
    INTEGER_MAX,
    Malformed,
    decode_base64,
    decode_object,
    integer,
    text,
)
from actors.wire.media_format import MediaFormat, read_media_format

if TYPE_CHECKING:
    from collections.abc import Callable

Track = Literal["inbound", "outbound"]

CALL_ID_MAX_CHARS: Final = 512  # Telnyx's are under 100
PAYLOAD_MAX_BYTES: Final = 64 * 1024  # of one media frame; 20 ms of any codec are under 2 KiB
MEDIA_ENDS: Final = b'"}}'  # behind the payload of a media message of ours
TOKEN_KEY: Final = "x-telnyx-streaming-auth-token"

_TRACKS: Final[dict[object, Track]] = {
    None: "inbound",
    "inbound": "inbound",
    "outbound": "outbound",
    "inbound_track": "inbound",
    "outbound_track": "outbound",
}


class Media(msgspec.Struct, frozen=True, gc=False):
    """A piece of audio. Numbers are None where Telnyx sent none."""

    payload: bytes  # in the codec of the stream's start frame, no RTP header
    track: Track = "inbound"
    chunk: int | None = None
    timestamp: int | None = None
    stream_id: str | None = None
    sequence_number: int | None = None


class Connected(msgspec.Struct, frozen=True):
    version: str | None
    token: str | None  # the stream_auth_token, when the stream has one


class Start(msgspec.Struct, frozen=True):
    """A stream begins. `raw` is the frame as it came, for those who join late.

    `digest` stands for all that the frame says but its sequence number: two frames with the same one say the same.
    """

    call_control_id: str
    stream_id: str | None
    call_session_id: str | None
    from_: str | None
    to: str | None
    client_state: str | None
    sequence_number: int | None
    media_format: MediaFormat
    raw: bytes
    digest: int


class Stop(msgspec.Struct, frozen=True):
    call_control_id: str | None
    stream_id: str | None
    raw: bytes


class Mark(msgspec.Struct, frozen=True):
    """What was queued before our mark of this name has been played, or cleared."""

    name: str
    stream_id: str | None


class Dtmf(msgspec.Struct, frozen=True):
    """A key was pressed. Out of order with others: `occurred_at` (ISO 8601) orders them."""

    digit: str
    occurred_at: str | None
    stream_id: str | None
    raw: bytes


class StreamError(msgspec.Struct, frozen=True):
    code: int | None  # 100002 unknown, 100003 malformed frame, 100004 not base64, 100005 too many requests
    title: str
    detail: str
    stream_id: str | None
    raw: bytes


class Unknown(msgspec.Struct, frozen=True):
    event: str
    raw: bytes


Frame = Media | Start | Stop | Mark | Dtmf | StreamError | Connected | Unknown

_Number = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]


class _MediaBody(msgspec.Struct, gc=False):
    payload: bytes
    track: Track = "inbound"
    chunk: _Number | None = None
    timestamp: _Number | None = None


class MediaFrame(msgspec.Struct, tag_field="event", tag="media", gc=False):
    """A media frame as Telnyx sends it. `media_of` makes a `Media` of it."""

    media: _MediaBody
    stream_id: str | None = None
    sequence_number: _Number | None = None


# Raises DECODE_ERRORS for all that is not plainly a media frame. Not strict: numbers as text.
decode_media = msgspec.json.Decoder(MediaFrame, strict=False).decode


def decode(message: bytes) -> Frame:
    """One frame from Telnyx. Raises Malformed, and nothing else, for whatever cannot be read.

    Plain media frames, nearly all there are, are decoded in one step with their base64; all else goes the general way.
    """
    try:
        frame = decode_media(message)
    except DECODE_ERRORS:
        return _decode_any(message)
    return _bounded(media_of(frame))


def media_of(frame: MediaFrame) -> Media:
    """What a media frame says."""
    body = frame.media
    return Media(
        body.payload,
        body.track,
        body.chunk,
        body.timestamp,
        frame.stream_id,
        frame.sequence_number,
    )


def _decode_any(message: bytes) -> Frame:
    frame = decode_object(message)
    event = frame.get("event")
    if not isinstance(event, str):
        raise Malformed("event is missing")
    reader = _READERS.get(event)
    return Unknown(event, message) if reader is None else reader(frame, message)


def _part(frame: dict[str, Any], name: str) -> dict[str, Any]:
    """The object under `name`; an empty one when there is none."""
    value = frame.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object")
    return value


def _read_media(frame: dict[str, Any], _raw: bytes) -> Media:
    body = _part(frame, "media")
    track = body.get("track")
    if not isinstance(track, str | None) or track not in _TRACKS:
        raise Malformed("media.track is neither inbound nor outbound")
    return _bounded(
        Media(
            decode_base64(body.get("payload"), "media.payload"),
            _TRACKS[track],
            integer(body.get("chunk"), "media.chunk"),
            integer(body.get("timestamp"), "media.timestamp"),
            text(frame.get("stream_id")),
            integer(frame.get("sequence_number"), "sequence_number"),
        )
    )


def _bounded(media: Media) -> Media:
    if len(media.payload) > PAYLOAD_MAX_BYTES:
        raise Malformed(f"media.payload has more than {PAYLOAD_MAX_BYTES} bytes")
    return media


def _read_start(frame: dict[str, Any], raw: bytes) -> Start:
    start = _part(frame, "start")
    call = start.get("call_control_id")
    if not isinstance(call, str) or not 0 < len(call) <= CALL_ID_MAX_CHARS:
        raise Malformed("start.call_control_id is missing or too long")
    return Start(
        call_control_id=call,
        stream_id=text(frame.get("stream_id")),
        call_session_id=text(start.get("call_session_id")),
        from_=text(start.get("from")),
        to=text(start.get("to")),
        client_state=text(start.get("client_state")),
        sequence_number=integer(frame.get("sequence_number"), "sequence_number"),
        media_format=read_media_format(_part(start, "media_format")),
        raw=raw,
        digest=_digest(frame),
    )


def _digest(frame: dict[str, Any]) -> int:
    """32 bits, never 0."""
    told = {name: value for name, value in frame.items() if name != "sequence_number"}
    return crc32(msgspec.json.encode(told, order="sorted")) or 1


def _read_connected(frame: dict[str, Any], _raw: bytes) -> Connected:
    return Connected(text(frame.get("version")), text(_part(frame, "connected").get(TOKEN_KEY)))


def _read_stop(frame: dict[str, Any], raw: bytes) -> Stop:
    call = text(_part(frame, "stop").get("call_control_id"))
    return Stop(call, text(frame.get("stream_id")), raw)


def _read_mark(frame: dict[str, Any], _raw: bytes) -> Mark:
    name = _part(frame, "mark").get("name")
    if not isinstance(name, str):
        raise Malformed("mark.name is missing")
    return Mark(name, text(frame.get("stream_id")))


def _read_dtmf(frame: dict[str, Any], raw: bytes) -> Dtmf:
    digit = _part(frame, "dtmf").get("digit")
    if isinstance(digit, int) and not isinstance(digit, bool) and 0 <= digit <= 9:
        digit = str(digit)
    if not isinstance(digit, str) or not digit:
        raise Malformed("dtmf.digit is missing")
    return Dtmf(digit, text(frame.get("occurred_at")), text(frame.get("stream_id")), raw)


def _read_error(frame: dict[str, Any], raw: bytes) -> StreamError:
    """Both shapes: `payload` in the current guide, `error` in the older text, whose code is text."""
    body = _part(frame, "payload") or _part(frame, "error")
    try:
        code = integer(body.get("code"), "code")
    except Malformed:
        code = None  # an error whose number cannot be read is still an error
    title, detail = text(body.get("title")), text(body.get("detail"))
    return StreamError(code, title or "", detail or "", text(frame.get("stream_id")), raw)


_READERS: Final[dict[str, Callable[[dict[str, Any], bytes], Frame]]] = {
    "media": _read_media,
    "start": _read_start,
    "connected": _read_connected,
    "stop": _read_stop,
    "mark": _read_mark,
    "dtmf": _read_dtmf,
    "error": _read_error,
}


def media_message(payload: bytes, stream_id: str | None = None) -> bytes:
    """Audio to be played into the call: raw codec bytes, 20 ms or more, no RTP header (mode `rtp`)."""
    name = b"" if stream_id is None else b'"stream_id":%b,' % msgspec.json.encode(stream_id)
    encoded = binascii.b2a_base64(payload, newline=False)
    return b'{"event":"media",%b"media":{"payload":"%b%b' % (name, encoded, MEDIA_ENDS)


def clear_message() -> bytes:
    """Telnyx drops what it has not played yet, and sends back all marks that wait."""
    return b'{"event":"clear"}'


def mark_message(name: str) -> bytes:
    """Telnyx sends the mark back once everything sent before it has been played."""
    return b'{"event":"mark","mark":{"name":%b}}' % msgspec.json.encode(name)
