"""What fan-out and its decoder process say to each other over a Unix packet socket: several frames to a message. Pure.

A request holds frames, each for itself: the decoder needs no other word, and a new one can go on with any. An answer holds
what became of some of them, by their serial numbers. Whoever gets what does not look like that says so: `BadMessage`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from patchbay.audio.media_format import MediaFormat
from patchbay.audio.transcode import ENCODINGS, OUTPUT_MAX_BYTES, PAYLOAD_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST_FRAMES_MAX: Final = 64
REQUEST_BYTES_MAX: Final = PAYLOAD_MAX_BYTES  # of payloads: what takes the decoder as long as one payload may
REASON_MAX_BYTES: Final = 500

# Of a request's frame: serial, lane, time, encoding, rate, channels, length. A lane is one track of one stream.
_FRAME: Final = struct.Struct("<QQdBIBI")
_ANSWER: Final = struct.Struct("<QBI")  # serial, outcome, length
# An answer is sent when it holds so much, or when its request has been dealt with.
ANSWER_BYTES: Final = OUTPUT_MAX_BYTES
REQUEST_MAX_BYTES: Final = REQUEST_BYTES_MAX + REQUEST_FRAMES_MAX * _FRAME.size
ANSWER_MAX_BYTES: Final = ANSWER_BYTES + OUTPUT_MAX_BYTES + REQUEST_FRAMES_MAX * _ANSWER.size

# Of a frame: its µ-law; silence in its place; why no frame of this format can be decoded, in words.
DECODED: Final = 0
UNDECODABLE: Final = 1
FAILED: Final = 2
Outcome = Literal[0, 1, 2]
_OUTCOMES: Final[tuple[Outcome, ...]] = (DECODED, UNDECODABLE, FAILED)


class BadMessage(Exception):
    """A message that no process of this version sends."""


class Request(NamedTuple):
    """One frame to be decoded; `now`: when it came."""

    serial: int
    lane: int
    now: float
    media_format: MediaFormat
    payload: bytes


class Answer(NamedTuple):
    """What became of it."""

    serial: int
    outcome: Outcome
    data: bytes


def pack_request(request: Request) -> bytes:
    """Make the part of a message that asks for this frame."""
    serial, lane, now, given, payload = request
    encoding = ENCODINGS.index(given.encoding)
    return _FRAME.pack(serial, lane, now, encoding, given.sample_rate, given.channels, len(payload)) + payload


def read_requests(message: bytes) -> Iterator[Request]:
    """Yield the frames of a message."""
    for (serial, lane, now, encoding, rate, channels, _), payload in _read(_FRAME, message):
        if encoding >= len(ENCODINGS):
            raise BadMessage(f"encoding {encoding}")
        yield Request(serial, lane, now, MediaFormat(ENCODINGS[encoding], rate, channels), payload)


def pack_answer(answer: Answer) -> bytes:
    """Make the part of a message that answers this."""
    return _ANSWER.pack(answer.serial, answer.outcome, len(answer.data)) + answer.data


def read_answers(message: bytes) -> Iterator[Answer]:
    """Yield the answers of a message."""
    for (serial, outcome, length), data in _read(_ANSWER, message):
        if outcome >= len(_OUTCOMES) or not 0 < length <= OUTPUT_MAX_BYTES:
            raise BadMessage(f"outcome {outcome}, {length} bytes")
        yield Answer(serial, _OUTCOMES[outcome], data)


def _read(head: struct.Struct, message: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield each head, whose last field is a length, with so many bytes behind it."""
    at = 0
    while at < len(message):
        begin = at + head.size
        if begin > len(message):
            raise BadMessage("cut short")
        fields = head.unpack_from(message, at)
        at = begin + fields[-1]
        if at > len(message):
            raise BadMessage("cut short")
        yield fields, message[begin:at]
