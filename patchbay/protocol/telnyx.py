"""Reads Telnyx's media streaming frames: JSON text, one object each. Pure. `telnyx_commands` writes our messages.

Source: Telnyx's guide "Media Streaming over Websockets" and its AsyncAPI page, with the older OpenAPI text's spellings.
Unknown events and fields are accepted, and numbers may be text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from zlib import crc32

import msgspec
import orjson

from patchbay.audio.media_format import MediaFormat, read_media_format
from patchbay.protocol.lenient_json import (
    DECODE_ERRORS,
    INTEGER_MAX,
    Malformed,
    decode_base64,
    decode_object,
    encode_any,
    object_field,
    optional_integer,
    optional_text,
    required_text,
    text,
)
from patchbay.protocol.query import ID_MAX_CHARS
from patchbay.protocol.times import TIME_MAX_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable

Track = Literal["inbound", "outbound"]

EVENT_MAX_BYTES: Final = 16_000  # of a frame that is no media; Telnyx's are under 1 KiB without custom parameters
MESSAGE_MAX_BYTES: Final = 128 * 1024  # of a media frame, as JSON
PAYLOAD_MAX_BYTES: Final = 64 * 1024  # of one media frame; 20 ms of any codec are under 2 KiB
WORDS_MAX_CHARS: Final = 1000  # of an error's title and detail
CHUNK: Final = "media.chunk"  # in `mended`: the frame's place in its track is not known
TOKEN_KEY: Final = "x-telnyx-streaming-auth-token"

_TRACKS: Final[dict[object, Track]] = {
    None: "inbound",
    "inbound": "inbound",
    "outbound": "outbound",
    "inbound_track": "inbound",
    "outbound_track": "outbound",
}


class TooLong(Malformed):
    """Reports a frame that is longer than any frame needs to be."""


class Media(msgspec.Struct, frozen=True, gc=False):
    """Holds a piece of audio. Numbers are None where Telnyx sent none."""

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
    """Begins a stream.

    Attributes:
        raw: the frame as it was received, or mended; for listeners that join later.
        digest: digest of all fields but the sequence number. Frames with the same digest say the same.
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
    """Reports that all audio before our mark of this name was played or cleared."""

    name: str
    stream_id: str | None


class Dtmf(msgspec.Struct, frozen=True):
    """Reports that a key was pressed. These frames arrive out of order; `occurred_at` (ISO 8601) orders them."""

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
    """Holds a media frame as Telnyx sends it; see `media_of`."""

    media: _MediaBody
    stream_id: str | None = None
    sequence_number: _Number | None = None


# Raises DECODE_ERRORS for anything but a plain media frame. Not strict, so numbers may be text.
decode_media = msgspec.json.Decoder(MediaFrame, strict=False).decode


def decode(message: bytes, mended: list[str] | None = None) -> Frame:
    """Read one frame from Telnyx.

    Plain media frames, which nearly all are, are decoded in one step with their base64. Of others, the needed fields
    are read strictly; other malformed fields are replaced and named in `mended`, and `raw` is the mended frame.

    Raises:
        Malformed: the frame can't be read; TooLong: it is too long. No other exception is raised.
    """
    if len(message) > MESSAGE_MAX_BYTES:
        raise TooLong(f"a frame of {len(message)} bytes; {MESSAGE_MAX_BYTES} are enough")
    try:
        frame = decode_media(message)
    except DECODE_ERRORS:
        return _decode_any(message, [] if mended is None else mended)
    return _bounded(media_of(frame))


def media_of(frame: MediaFrame) -> Media:
    """Return the audio of a media frame."""
    body = frame.media
    return Media(
        body.payload,
        body.track,
        body.chunk,
        body.timestamp,
        frame.stream_id,
        frame.sequence_number,
    )


def _decode_any(message: bytes, mended: list[str]) -> Frame:
    frame = decode_object(message, mended)
    event = frame.get("event")
    if not isinstance(event, str):
        raise Malformed("event is missing")
    if event != "media" and len(message) > EVENT_MAX_BYTES:
        raise TooLong(f"a frame of {len(message)} bytes that is no media; {EVENT_MAX_BYTES} are enough")
    reader = _READERS.get(event)
    if reader is not None:
        return reader(frame, encode_any(frame) if mended else message, mended)
    if mended:
        raise Malformed("not JSON")  # an unknown event is not mended
    return Unknown(event, message)


def _id(frame: dict[str, Any], name: str, mended: list[str]) -> str | None:
    return optional_text(frame.get(name), name, mended, ID_MAX_CHARS)


def _read_media(frame: dict[str, Any], _raw: bytes, mended: list[str]) -> Media:
    body = object_field(frame, "media", mended)
    track = body.get("track")
    if not isinstance(track, str | None) or track not in _TRACKS:
        raise Malformed("media.track is neither inbound nor outbound")
    return _bounded(
        Media(
            decode_base64(body.get("payload"), "media.payload"),
            _TRACKS[track],
            optional_integer(body.get("chunk"), CHUNK, mended),
            optional_integer(body.get("timestamp"), "media.timestamp", mended),
            _id(frame, "stream_id", mended),
            optional_integer(frame.get("sequence_number"), "sequence_number", mended),
        )
    )


def _bounded(media: Media) -> Media:
    if len(media.payload) > PAYLOAD_MAX_BYTES:
        raise Malformed(f"media.payload has more than {PAYLOAD_MAX_BYTES} bytes")
    return media


def _read_start(frame: dict[str, Any], raw: bytes, mended: list[str]) -> Start:
    start = object_field(frame, "start", mended)
    return Start(
        call_control_id=required_text(start.get("call_control_id"), "start.call_control_id", mended, ID_MAX_CHARS),
        stream_id=_id(frame, "stream_id", mended),
        call_session_id=_id(start, "call_session_id", mended),
        from_=_id(start, "from", mended),
        to=_id(start, "to", mended),
        client_state=text(start.get("client_state")),
        sequence_number=optional_integer(frame.get("sequence_number"), "sequence_number", mended),
        media_format=read_media_format(object_field(start, "media_format", mended), mended),
        raw=raw,
        digest=_digest(frame),
    )


def _digest(frame: dict[str, Any]) -> int:
    """Return the 32 bits of `Start.digest`, never 0."""
    told = {name: value for name, value in frame.items() if name != "sequence_number"}
    try:
        text = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # nested too deep
        text = encode_any(told)
    return crc32(text) or 1


def _read_connected(frame: dict[str, Any], _raw: bytes, mended: list[str]) -> Connected:
    return Connected(text(frame.get("version")), text(object_field(frame, "connected", mended).get(TOKEN_KEY)))


def _read_stop(frame: dict[str, Any], raw: bytes, mended: list[str]) -> Stop:
    call = text(object_field(frame, "stop", mended).get("call_control_id"))
    return Stop(call, _id(frame, "stream_id", mended), raw)


def _read_mark(frame: dict[str, Any], _raw: bytes, mended: list[str]) -> Mark:
    name = required_text(object_field(frame, "mark", mended).get("name"), "mark.name", mended, ID_MAX_CHARS)
    return Mark(name, _id(frame, "stream_id", mended))


def _read_dtmf(frame: dict[str, Any], raw: bytes, mended: list[str]) -> Dtmf:
    digit = object_field(frame, "dtmf", mended).get("digit")
    if isinstance(digit, int) and not isinstance(digit, bool) and 0 <= digit <= 9:
        digit = str(digit)
    digit = required_text(digit, "dtmf.digit", mended, ID_MAX_CHARS)
    return Dtmf(
        digit,
        optional_text(frame.get("occurred_at"), "occurred_at", mended, TIME_MAX_CHARS),
        _id(frame, "stream_id", mended),
        raw,
    )


def _read_error(frame: dict[str, Any], raw: bytes, mended: list[str]) -> StreamError:
    """Read an error of either form: `payload` in the current guide, `error` in the older text, whose code is text."""
    body = object_field(frame, "payload", mended) or object_field(frame, "error", mended)
    code = optional_integer(body.get("code"), "code", mended)  # an error whose number cannot be read is still an error
    title, detail = text(body.get("title")) or "", text(body.get("detail")) or ""
    return StreamError(code, title[:WORDS_MAX_CHARS], detail[:WORDS_MAX_CHARS], _id(frame, "stream_id", mended), raw)


_READERS: Final[dict[str, Callable[[dict[str, Any], bytes, list[str]], Frame]]] = {
    "media": _read_media,
    "start": _read_start,
    "connected": _read_connected,
    "stop": _read_stop,
    "mark": _read_mark,
    "dtmf": _read_dtmf,
    "error": _read_error,
}
