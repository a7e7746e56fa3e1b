"""Reads and writes the binary messages of `patchbay.v1` (docs/protocol-v1.md), and chooses their codecs. Pure.

A binary message is a header of 20 bytes and the audio. Only the number of the call differs between listeners, so a
server's frame is made once, with the number 1, and `renumbered` replaces the number for other listeners.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from patchbay.audio.g711 import SILENCE_ALAW, SILENCE_ULAW
from patchbay.protocol.lenient_json import Malformed
from patchbay.websocket.frames import BINARY, binary_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchbay.audio.g711 import Codec
    from patchbay.audio.media_format import MediaFormat

SUBPROTOCOL: Final = "patchbay.v1"
# Would change if stream numbers began anew; they are times (`stream_number`), so they do not.
EPOCH: Final = "1"

HEADER: Final = struct.Struct("<BBBBHHIII")
AUDIO, TALK = 1, 2  # kinds
REPLAYED: Final = 1  # flag: the frame is from before the listener joined
FIRST_CALL: Final = 1  # the number of the call in frames that `audio_frame` makes
CALL_MAX: Final = 0xFFFF
MASK_32: Final = 0xFFFFFFFF
PAYLOAD_MAX_BYTES: Final = 16_384
MESSAGE_MAX_MS: Final = 100
TALK_BYTES: Final = 160
NS_PER_MS: Final = 1_000_000

_FRAMED: Final = struct.Struct("<2s2sBBBBHHIII")  # behind a WebSocket header for a length of 126 to 65,535
_pack_framed: Final = _FRAMED.pack
_SHORT_HEADER, _LONG_HEADER = 2, 4  # bytes of a WebSocket header up to 125, and above
_CALL_AT: Final = 4  # in our header
_MEDIUM: Final = bytes((BINARY, 126))
_CODES: Final = {
    ("PCMU", 8000): 0,
    ("PCMA", 8000): 1,
    ("G722", 8000): 2,
    ("L16", 8000): 3,
    ("L16", 16_000): 4,
    ("L16", 24_000): 5,
    ("L16", 48_000): 6,
}
_TALK_CODECS: Final[dict[int, Codec]] = {0: "PCMU", 1: "PCMA"}
_BYTES_PER_MS: Final = (8, 8, 8, 16, 32, 48, 96)  # by code
_SILENCES: Final = (
    SILENCE_ULAW,
    SILENCE_ALAW,
    b"\xff",
    *[b"\0"] * 4,
)  # by code; the amplitude of G.722's is below 4 of 32,768


class WireFormat(NamedTuple):
    """Holds the form in which a call's audio is sent. `as_it_is`: as Telnyx sends it; otherwise converted to PCMU."""

    code: int
    codec: str
    sample_rate: int
    as_it_is: bool

    def silence(self, ms: int) -> bytes:
        """Return `ms` milliseconds of silence."""
        return _SILENCES[self.code] * (_BYTES_PER_MS[self.code] * ms)

    @property
    def message_max_bytes(self) -> int:
        return min(PAYLOAD_MAX_BYTES, _BYTES_PER_MS[self.code] * MESSAGE_MAX_MS)


def wire_format(given: MediaFormat) -> WireFormat:
    """Return the form in which audio of this format is sent."""
    rate = 8000 if given.encoding == "G722" else given.sample_rate  # its rate in RTP, whatever is declared (RFC 3551)
    code = _CODES.get((given.encoding, rate)) if given.channels == 1 else None
    return WireFormat(0, "PCMU", 8000, False) if code is None else WireFormat(code, given.encoding, rate, True)


def stream_number(connection: int) -> int:
    """Return a stream's number on the wire: when its connection was accepted, in ms, wrapped after 49 days.

    All processes, also after restarts, make the same number of a connection's number, which is in ns.
    """
    return connection // NS_PER_MS & MASK_32


def audio_frame(track: int, code: int, flags: int, stream: int, sequence: int, timestamp: int, payload: bytes) -> bytes:
    """Return a WebSocket frame of audio, for the connection's first call."""
    size = HEADER.size + len(payload)
    if 126 <= size < 65_536:
        length = size.to_bytes(2, "big")
        head = _pack_framed(
            _MEDIUM, length, AUDIO, track, code, flags, FIRST_CALL, 0, stream, sequence & MASK_32, timestamp & MASK_32
        )
        return head + payload
    return binary_frame(
        HEADER.pack(AUDIO, track, code, flags, FIRST_CALL, 0, stream, sequence & MASK_32, timestamp & MASK_32) + payload
    )


def renumbered(frames: bytes, call: bytes) -> bytes:
    """Return frames with another number of the call (two bytes, little endian)."""
    if frames[1] == 126 and len(frames) == _LONG_HEADER + int.from_bytes(frames[2:4], "big"):
        return b"".join((frames[: _LONG_HEADER + _CALL_AT], call, frames[_LONG_HEADER + _CALL_AT + 2 :]))
    changed = bytearray(frames)
    for at in _messages(frames):
        changed[at + _CALL_AT : at + _CALL_AT + 2] = call
    return bytes(changed)


def _messages(frames: bytes) -> Iterator[int]:
    """Yield the offset of each message in frames of `audio_frame`."""
    at = 0
    while at < len(frames):
        size, head = frames[at + 1], _SHORT_HEADER
        if size == 126:
            size, head = int.from_bytes(frames[at + 2 : at + 4], "big"), _LONG_HEADER
        yield at + head
        at += head + size


class TalkFrame(NamedTuple):
    """Holds 20 ms of talk."""

    call: int
    talk: int
    sequence: int
    codec: Codec
    payload: bytes


def unpack_talk(message: bytes) -> TalkFrame | None:
    """Read a client's binary message; None for an unknown kind. Raises Malformed."""
    if not message or message[0] != TALK:
        return None
    if len(message) != HEADER.size + TALK_BYTES:
        raise Malformed(f"a message of talk has {HEADER.size} + {TALK_BYTES} bytes, not {len(message)}")
    _, _, code, _, call, _, talk, sequence, _ = HEADER.unpack_from(message)
    codec = _TALK_CODECS.get(code)
    if codec is None:
        raise Malformed("talk is PCMU (0) or PCMA (1)")
    return TalkFrame(call, talk, sequence, codec, message[HEADER.size :])
