"""What Telnyx makes of the frames it is sent: media, mark, clear, or an error. Pure.

Source: Telnyx's guide on media streaming, "bidirectional streaming" and its table of errors.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from simulator.codecs import Codec

FRAME_MAX_S = 30
NAME_MAX_CHARS = 1000


class Refused(Exception):
    """A frame that Telnyx answers with an error frame; the stream goes on."""

    def __init__(self, code: int, title: str, detail: str) -> None:
        super().__init__(f"{code} {title}: {detail}")
        self.code = code
        self.title = title
        self.detail = detail


@dataclass(frozen=True)
class Media:
    """Audio to be played after what is queued already."""

    payload: bytes


@dataclass(frozen=True)
class Mark:
    """To be sent back when what came before it has been played."""

    name: str


@dataclass(frozen=True)
class Clear:
    """Stop playing, forget what is queued."""


def parse(message: str | bytes, codec: Codec) -> Media | Mark | Clear:
    """Read a message from the application. Raises Refused."""
    if isinstance(message, bytes):
        raise malformed("expected a text message, got a binary one")
    try:
        frame = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise malformed(f"not JSON: {error}") from error
    if not isinstance(frame, dict):
        raise malformed("not a JSON object")
    match frame.get("event"):
        case "media":
            return Media(_payload(frame.get("media"), codec))
        case "mark":
            return Mark(_name(frame.get("mark")))
        case "clear":
            return Clear()
        case event:
            raise malformed(f"unknown event {event!r}")


def malformed(detail: str) -> Refused:
    return Refused(100003, "malformed_frame", detail)


def invalid_media(detail: str) -> Refused:
    return Refused(100004, "invalid_media", detail)


def rate_limit(detail: str) -> Refused:
    return Refused(100005, "rate_limit_reached", detail)


def _payload(media: Any, codec: Codec) -> bytes:
    if not isinstance(media, dict) or not isinstance(media.get("payload"), str):
        raise malformed("media.payload is missing")
    try:
        payload = binascii.a2b_base64(media["payload"], strict_mode=True)
    except ValueError as error:
        raise invalid_media(f"media.payload is not base64: {error}") from error
    if not codec.frame_bytes <= len(payload) <= FRAME_MAX_S * codec.bytes_per_s:
        length_ms = len(payload) * 1000 / codec.bytes_per_s
        raise invalid_media(f"a chunk is 20 ms to 30 s long, this one {length_ms:g} ms")
    if len(payload) % codec.sample_bytes:
        raise invalid_media("media.payload ends within a sample")
    return payload


def _name(mark: Any) -> str:
    if not isinstance(mark, dict) or not isinstance(mark.get("name"), str):
        raise malformed("mark.name is missing")
    if len(mark["name"]) > NAME_MAX_CHARS:
        raise malformed("mark.name is too long")
    return str(mark["name"])
