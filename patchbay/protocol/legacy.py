"""Reads and writes the messages of the legacy protocol (contract, sections 2 and 3), and reads its query. Pure.

The order of fields is that of the old backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from patchbay.protocol.lenient_json import DECODE_ERRORS, Malformed, decode_base64, decode_object, require_utf8
from patchbay.protocol.query import BadQuery, names_of
from patchbay.protocol.talk import MARK_NAME_MAX_CHARS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SINCE_MAX_CHARS: Final = 64
KEEPALIVE_MAX_BYTES: Final = 32
ECHO_MAX_BYTES: Final = 256
# Words that clients send only to keep a connection open, as plain text or as a `type`.
_KEEPALIVES: Final = frozenset({b"ping", b"pong", b"keepalive", b"keep-alive", b"keep_alive", b"heartbeat"})

TrackChoice = Literal["inbound", "outbound", "both"]
FormatChoice = Literal["binary", "json"]

_TRACKS: Final[dict[str, TrackChoice]] = {
    "inbound": "inbound",
    "outbound": "outbound",
    "both": "both",
}
_FORMATS: Final[dict[str, FormatChoice]] = {"binary": "binary", "json": "json"}


class TalkStop(msgspec.Struct, frozen=True):
    """Reports that the talker has stopped."""


class TalkClear(msgspec.Struct, frozen=True):
    """Asks to drop the talk that was not played yet."""


class TalkMark(msgspec.Struct, frozen=True):
    """Asks for a message when all talk before this mark has been played."""

    name: str


class TalkPing(msgspec.Struct, frozen=True):
    """Asks for `answer`, to check the connection."""

    answer: bytes


class TalkOther(msgspec.Struct, frozen=True):
    """Names an event that has no meaning here, and is ignored."""

    event: str


TalkMessage = bytes | TalkStop | TalkClear | TalkMark | TalkPing | TalkOther


class ListenQuery(msgspec.Struct, frozen=True):
    """Holds the choices in a client's URL. Without a call and a stream, the client wants all calls that it may hear."""

    call_control_ids: tuple[str, ...] = ()
    stream_ids: tuple[str, ...] = ()
    track: TrackChoice = "inbound"
    format: FormatChoice = "binary"
    since: str | None = None

    @classmethod
    def parse(cls, query: Mapping[str, Sequence[str]]) -> ListenQuery:
        """Read a percent-decoded query. The last of repeated values counts. Raises BadQuery."""
        since = _last(query, "since")
        if since is not None and len(since) > SINCE_MAX_CHARS:
            raise BadQuery("since is too long")
        calls, streams = names_of(query)
        return cls(
            calls,
            streams,
            _TRACKS[_choice(query, "track", tuple(_TRACKS))],
            _FORMATS[_choice(query, "format", tuple(_FORMATS))],
            since,
        )


def _last(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = query.get(name)
    return (values[-1] or None) if values else None


def _choice(query: Mapping[str, Sequence[str]], name: str, choices: tuple[str, ...]) -> str:
    """Return the value of a parameter that is one of `choices`; the first one is the default."""
    value = _last(query, name)
    if value is None:
        return choices[0]
    if value not in choices:
        raise BadQuery(f"{name} must be one of {', '.join(choices)}")
    return value


def connected_message(codec: str = "PCMU", sample_rate: int = 8000, channels: int = 1) -> bytes:
    """Return the welcome on an audio socket, with the format of its call where that is known."""
    config = {"codec": codec, "sampleRate": sample_rate, "channels": channels}
    return msgspec.json.encode({"event": "connected", "message": "Connected to audio stream", "config": config})


class _MediaOut(msgspec.Struct, gc=False):
    track: str
    chunk: str
    timestamp: str
    payload: bytes
    format: str


class _MediaFrameOut(msgspec.Struct, tag_field="event", tag="media", gc=False):
    sequence_number: str
    stream_id: str | None
    media: _MediaOut


_encode = msgspec.json.Encoder().encode


def _digits(number: int | None) -> str:
    return "" if number is None else str(number)


def media_json(
    sequence_number: int | None,
    stream_id: str | None,
    track: str,
    chunk: int | None,
    timestamp: int | None,
    payload: bytes,
    fmt: str,
) -> bytes:
    """Return audio as text for `?format=json`. Numbers are text as in Telnyx's frames, empty where Telnyx sent none."""
    media = _MediaOut(track, _digits(chunk), _digits(timestamp), payload, fmt)
    return _encode(_MediaFrameOut(_digits(sequence_number), stream_id, media))


def error_message(code: int, title: str, detail: str, **more: int) -> bytes:
    """Return an error in Telnyx's form. The frontend shows `detail` to the user."""
    payload = {"code": code, "title": title, "detail": detail, **more}
    return msgspec.json.encode({"event": "error", "payload": payload})


def mark_message(name: str, stream_id: str | None) -> bytes:
    """Return a mark in Telnyx's form, after Telnyx has sent it back."""
    return msgspec.json.encode({"event": "mark", "stream_id": stream_id, "mark": {"name": name}})


class _TalkBody(msgspec.Struct, gc=False):
    payload: bytes


class _TalkFrame(msgspec.Struct, tag_field="event", tag="media", gc=False):
    media: _TalkBody


_decode_talk_frame = msgspec.json.Decoder(_TalkFrame).decode


def decode_talk(message: bytes) -> TalkMessage:
    """Read a text message of a talker: the bytes of `media` (an RTP packet, or bare audio), or another event.

    Raises:
        Malformed: the message can't be read. No other exception is raised.
    """
    try:
        return _decode_talk_frame(message).media.payload
    except DECODE_ERRORS:
        return _decode_any_talk(message)


def _decode_any_talk(message: bytes) -> TalkMessage:
    if len(message) <= KEEPALIVE_MAX_BYTES and (word := message.strip().lower()) in _KEEPALIVES:
        return TalkPing(b'{"type":"pong"}') if word == b"ping" else TalkOther(word.decode())
    frame = decode_object(require_utf8(message))
    event = frame.get("event")
    if not isinstance(event, str):
        kind = frame.get("type")
        if isinstance(kind, str) and kind.encode(errors="replace") in _KEEPALIVES:
            return _answered("type", frame, message) if kind == "ping" else TalkOther(kind)
        raise Malformed("event is missing")
    match event:
        case "stop":
            return TalkStop()
        case "clear":
            return TalkClear()
        case "mark":
            return TalkMark(_mark_name(frame.get("mark")))
        case "ping":
            return _answered("event", frame, message)
        case "media":
            media = frame.get("media")
            if not isinstance(media, dict):
                raise Malformed("media is not an object")
            return decode_base64(media.get("payload"), "media.payload")
        case _:
            return TalkOther(event)


def _answered(key: str, frame: dict[str, Any], message: bytes) -> TalkPing:
    """Return a ping whose answer repeats its fields, at most ECHO_MAX_BYTES, so that the peer can match the two."""
    echoed = frame if len(message) <= ECHO_MAX_BYTES else {}
    return TalkPing(msgspec.json.encode({**echoed, key: "pong"}))


def _mark_name(mark: object) -> str:
    name = mark.get("name") if isinstance(mark, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= MARK_NAME_MAX_CHARS:
        raise Malformed(f"mark.name is missing, or longer than {MARK_NAME_MAX_CHARS} characters")
    return name


def looks_like_telnyx(message: bytes) -> bool:
    """Return whether a message begins a stream as Telnyx does: `connected` with a version, or `start`."""
    try:
        frame = decode_object(message)
    except Malformed:
        return False
    event = frame.get("event")
    return (event == "connected" and "version" in frame) or (event == "start" and isinstance(frame.get("start"), dict))
