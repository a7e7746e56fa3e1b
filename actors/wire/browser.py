"""What browsers send and get on the audio sockets (contract, sections 2 and 3): JSON text, and the query of the URL.

Knows nothing of sockets or of who may hear what. Field order is the old backend's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from actors.wire.lenient import DECODE_ERRORS, Malformed, decode_base64, decode_object, require_utf8
from actors.wire.query import BadQuery, calls_of, streams_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SINCE_MAX_CHARS: Final = 64

TrackChoice = Literal["inbound", "outbound", "both"]
FormatChoice = Literal["binary", "json"]

_TRACKS: Final[dict[str, TrackChoice]] = {
    "inbound": "inbound",
    "outbound": "outbound",
    "both": "both",
}
_FORMATS: Final[dict[str, FormatChoice]] = {"binary": "binary", "json": "json"}


class TalkStop(msgspec.Struct, frozen=True):
    """The talker has said what he wanted to say."""


class TalkOther(msgspec.Struct, frozen=True):
    """An event that means nothing here; it is ignored."""

    event: str


class ListenQuery(msgspec.Struct, frozen=True):
    """What a client asks for in its URL. Without a call and a stream: every call that it may hear."""

    call_control_ids: tuple[str, ...] = ()
    stream_ids: tuple[str, ...] = ()
    track: TrackChoice = "inbound"
    format: FormatChoice = "binary"
    since: str | None = None

    @classmethod
    def parse(cls, query: Mapping[str, Sequence[str]]) -> ListenQuery:
        """From the percent-decoded query; of a repeated choice the last counts. Raises BadQuery; see `wire.query`."""
        since = _last(query, "since")
        if since is not None and len(since) > SINCE_MAX_CHARS:
            raise BadQuery("since is too long")
        return cls(
            calls_of(query),
            streams_of(query),
            _TRACKS[_choice(query, "track", tuple(_TRACKS))],
            _FORMATS[_choice(query, "format", tuple(_FORMATS))],
            since,
        )


def _last(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = query.get(name)
    return (values[-1] or None) if values else None


def _choice(query: Mapping[str, Sequence[str]], name: str, choices: tuple[str, ...]) -> str:
    """The value of a parameter that is one of `choices`; the first one is the default."""
    value = _last(query, name)
    if value is None:
        return choices[0]
    if value not in choices:
        raise BadQuery(f"{name} must be one of {', '.join(choices)}")
    return value


def connected_message(codec: str = "PCMU", sample_rate: int = 8000, channels: int = 1) -> bytes:
    """The welcome on the audio socket, with the format of the call it listens to when that is known."""
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
    """Audio as text for `?format=json`. Numbers are text as in Telnyx's frames, empty where Telnyx sent none."""
    media = _MediaOut(track, _digits(chunk), _digits(timestamp), payload, fmt)
    return _encode(_MediaFrameOut(_digits(sequence_number), stream_id, media))


def error_message(code: int, title: str, detail: str) -> bytes:
    """An error in the form of Telnyx's; the frontend shows `detail` to the user."""
    payload = {"code": code, "title": title, "detail": detail}
    return msgspec.json.encode({"event": "error", "payload": payload})


class _TalkBody(msgspec.Struct, gc=False):
    payload: bytes


class _TalkFrame(msgspec.Struct, tag_field="event", tag="media", gc=False):
    media: _TalkBody


_decode_talk_frame = msgspec.json.Decoder(_TalkFrame).decode


def decode_talk(message: bytes) -> bytes | TalkStop | TalkOther:
    """A text message of a talker: the bytes of `media` (a whole RTP packet, or bare), or what other event it is.

    Raises Malformed, and nothing else, for whatever cannot be read.
    """
    try:
        return _decode_talk_frame(message).media.payload
    except DECODE_ERRORS:
        return _decode_any_talk(message)


def _decode_any_talk(message: bytes) -> bytes | TalkStop | TalkOther:
    frame = decode_object(require_utf8(message))
    event = frame.get("event")
    if not isinstance(event, str):
        raise Malformed("event is missing")
    if event == "stop":
        return TalkStop()
    if event != "media":
        return TalkOther(event)
    media = frame.get("media")
    if not isinstance(media, dict):
        raise Malformed("media is not an object")
    return decode_base64(media.get("payload"), "media.payload")


def looks_like_telnyx(message: bytes) -> bool:
    """Whether a peer that was taken for a frontend opens as Telnyx does: `connected` with a version, or `start`."""
    try:
        frame = decode_object(message)
    except Malformed:
        return False
    event = frame.get("event")
    return (event == "connected" and "version" in frame) or (event == "start" and isinstance(frame.get("start"), dict))
