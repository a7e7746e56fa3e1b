"""Messages between fan-out and its decoder process, on a Unix packet socket: several frames in a message. Pure.

A request holds frames, and with each frame all that a new decoder process needs. An answer holds the outcomes of some
frames, by their serial numbers. A message of another shape raises `BadMessage`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from patchbay.audio.media_format import MediaFormat
from patchbay.audio.transcode import ENCODINGS, OUTPUT_MAX_BYTES, PAYLOAD_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST_FRAMES_MAX: Final = 64
REQUEST_BYTES_MAX: Final = PAYLOAD_MAX_BYTES  # of payloads: they take the decoder no longer than one payload may
REASON_MAX_BYTES: Final = 500
PROGRESS_BYTES: Final = 8  # in shared memory: the serial of the frame that is being decoded; 0 between frames

# A request's frame: serial, track, time, encoding, rate, channels, length.
_FRAME: Final = struct.Struct("<QQdBIBI")
_ANSWER: Final = struct.Struct("<QBI")  # serial, outcome, length
# An answer is sent when it holds so many bytes, or when its request is done.
ANSWER_BYTES: Final = OUTPUT_MAX_BYTES
REQUEST_MAX_BYTES: Final = REQUEST_BYTES_MAX + REQUEST_FRAMES_MAX * _FRAME.size
ANSWER_MAX_BYTES: Final = ANSWER_BYTES + OUTPUT_MAX_BYTES + REQUEST_FRAMES_MAX * _ANSWER.size

# Outcome and data of a frame: its µ-law; silence; the reason why no frame of this format can be decoded, in words.
DECODED: Final = 0
UNDECODABLE: Final = 1
FAILED: Final = 2
Outcome = Literal[0, 1, 2]
_OUTCOMES: Final[tuple[Outcome, ...]] = (DECODED, UNDECODABLE, FAILED)


class BadMessage(Exception):
    """Says that a message is none that a process of this version sends."""


class Request(NamedTuple):
    """One frame to be decoded.

    Attributes:
        track: a number that names one track of one stream.
        now: when the frame came.
    """

    serial: int
    track: int
    now: float
    media_format: MediaFormat
    payload: bytes


class Answer(NamedTuple):
    """The outcome of one frame."""

    serial: int
    outcome: Outcome
    data: bytes


def pack_request(request: Request) -> bytes:
    """Return a frame as a part of a request."""
    serial, track, now, given, payload = request
    encoding = ENCODINGS.index(given.encoding)
    return _FRAME.pack(serial, track, now, encoding, given.sample_rate, given.channels, len(payload)) + payload


def read_requests(message: bytes) -> Iterator[Request]:
    """Yield the frames of a request."""
    for (serial, track, now, encoding, rate, channels, _), payload in _read(_FRAME, message):
        if encoding >= len(ENCODINGS):
            raise BadMessage(f"encoding {encoding}")
        yield Request(serial, track, now, MediaFormat(ENCODINGS[encoding], rate, channels), payload)


def pack_answer(answer: Answer) -> bytes:
    """Return an outcome as a part of an answer."""
    return _ANSWER.pack(answer.serial, answer.outcome, len(answer.data)) + answer.data


def read_answers(message: bytes) -> Iterator[Answer]:
    """Yield the outcomes of an answer."""
    for (serial, outcome, length), data in _read(_ANSWER, message):
        if outcome >= len(_OUTCOMES) or not 0 < length <= OUTPUT_MAX_BYTES:
            raise BadMessage(f"outcome {outcome}, {length} bytes")
        yield Answer(serial, _OUTCOMES[outcome], data)


def _read(head: struct.Struct, message: bytes) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield the fields of each header, and the bytes behind it: the last field is their number."""
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
