"""WebSocket frames (RFC 6455 §5.2) as the hot path needs them: finding a client's frames, building a server's.

Pure, and shared by both sides of the system. Everything unusual (fragments, control frames, errors) is not decided
here: those frames are found and passed on whole to the general implementation.
"""

from __future__ import annotations

import struct
from codecs import utf_8_decode
from enum import IntEnum
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel with the C routine for this platform
    from websockets.utils import apply_mask

__all__ = [
    "BINARY",
    "CLIENT_PING",
    "CLOSE",
    "FRAME_HEAD_MAX_BYTES",
    "MEDIUM_HEADER_BYTES",
    "MEDIUM_TEXT",
    "NOT_MASKED",
    "PING",
    "TEXT",
    "Frame",
    "Opcode",
    "apply_mask",
    "binary_frame",
    "cannot_be_text",
    "close_frame",
    "find_frames",
    "pong_frame",
    "text_frame",
    "unmask",
    "whole_messages",
]

TEXT: Final = 0x81  # first byte of a whole text message: FIN, no reserved bit, opcode 1
BINARY: Final = 0x82
MEDIUM_TEXT: Final = TEXT << 8 | 0xFE  # first two bytes of a client's whole text message of 126 to 65,535 bytes
MEDIUM_HEADER_BYTES: Final = 8  # of such a message, its masking key included
CLOSE: Final = 0x88
PONG: Final = 0x8A
FINAL_BIT, OPCODE_BITS, CONTROL_BIT = 0x80, 0x0F, 0x08  # of a frame's first byte
PING: Final = b"\x89\x00"  # a server's ping without payload, ready to send
CLIENT_PING: Final = 0x89
FRAME_HEAD_MAX_BYTES: Final = 14  # §5.2
NOT_MASKED: Final = -1
WAITING_FRAGMENTS_MAX: Final = 16  # of a message that is not whole
WAITING_BYTES_MAX: Final = 8192  # likewise; much less than is looked at at once, or the last one would never be seen


class Opcode(IntEnum):
    """RFC 6455 §11.8."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


NO_CLOSE_CODE: Final = 1005  # never sent: stands for a close frame without a code
REASON_MAX_BYTES: Final = 123

Frame = tuple[int, int, int, int]  # first byte, start of the frame, start of its payload, end

_SHORT = struct.Struct(">BB").pack
_MEDIUM = struct.Struct(">BBH").pack
_LONG = struct.Struct(">BBQ").pack


def find_frames(
    data: bytes | bytearray | memoryview, at: int, size: int, longest: int, limit: int | None = None
) -> tuple[list[Frame], int]:
    """Find the complete frames of a client in a buffer.

    Args:
        data: what the socket holds; valid up to `size`.
        at: where to begin; a frame begins there.
        longest: payload length up to which an incomplete frame is worth waiting for.
        limit: how many frames are wanted; None: all there are. Of what follows them, nothing is told.

    Returns:
        A list of (first byte, start of the frame, start of its payload, end). The four bytes before a payload are its
        masking key. And how many bytes, from the end of the last one, the next frame takes in all: 0 when it is
        incomplete but will do, or when that can't be told yet; NOT_MASKED for a frame that breaks the rule that clients
        mask (the general implementation has an answer to that).
    """
    frames: list[Frame] = []
    while size - at >= 2 and len(frames) != limit:
        second = data[at + 1]
        if second < 0x80:
            return frames, NOT_MASKED
        length = second & 0x7F
        payload = at + 6
        if length == 126:
            payload = at + 8
            if payload > size:
                break
            length = data[at + 2] << 8 | data[at + 3]
        elif length == 127:
            payload = at + 14
            if payload > size:
                break
            length = int.from_bytes(data[at + 2 : at + 10], "big")
        if length > longest:
            return frames, payload + length - at
        end = payload + length
        if end > size:
            break
        frames.append((data[at], at, payload, end))
        at = end
    return frames, 0


def whole_messages(data: bytes | bytearray | memoryview, frames: list[Frame], *, is_strict: bool) -> list[Frame]:
    """Leave out the fragments at the end of some frames whose message has not come whole.

    What is left out stays in the socket, as half a frame does, and so survives this process. But only of few fragments,
    since each look at them costs again; not with control frames among them, which are to be answered at once; nor, with
    `is_strict`, where they are text that is not UTF-8, which is to be refused at once.
    """
    if not frames or frames[-1][0] & (FINAL_BIT | CONTROL_BIT):
        return frames
    begin = len(frames) - 1
    while begin and not frames[begin][0] & (FINAL_BIT | OPCODE_BITS):
        begin -= 1
    first, fragments = frames[begin][0], frames[begin:]
    is_long = len(fragments) > WAITING_FRAGMENTS_MAX or frames[-1][3] - frames[begin][1] > WAITING_BYTES_MAX
    if is_long or first not in (Opcode.TEXT, Opcode.BINARY):
        return frames
    if (
        is_strict
        and first == Opcode.TEXT
        and not _may_be_text([unmask(data, start, end) for *_, start, end in fragments])
    ):
        return frames
    return frames[:begin]


def _may_be_text(pieces: list[bytes]) -> bool:
    try:
        utf_8_decode(b"".join(pieces), "strict", False)
    except UnicodeDecodeError:
        return False
    return True


def cannot_be_text(data: bytes | bytearray | memoryview, at: int, size: int) -> bool:
    """Whether the incomplete frame that begins at `at` is one of text that is not UTF-8 already, whatever follows."""
    if data[at] != TEXT or size - at < 6:
        return False
    payload = at + {126: 8, 127: 14}.get(data[at + 1] & 0x7F, 6)
    if payload > size:
        return False  # not even the masking key is whole
    return not _may_be_text([unmask(data, payload, size)])


def unmask(data: bytes | bytearray | memoryview, payload: int, end: int) -> bytes:
    """The payload of a frame that `find_frames` found."""
    # The routine takes any buffer; its signature names only some.
    return apply_mask(data[payload:end], data[payload - 4 : payload])  # type: ignore[arg-type]


def text_frame(payload: bytes) -> bytes:
    """A server's text message in one frame. The payload is UTF-8."""
    return _frame(TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """A server's binary message in one frame."""
    return _frame(BINARY, payload)


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping."""
    return _frame(PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """Make a server's close frame. A reason that is too long for one is cut."""
    if code == NO_CLOSE_CODE:
        return _frame(CLOSE, b"")
    words = reason.encode("utf-8", "replace")[:REASON_MAX_BYTES].decode("utf-8", "ignore").encode()
    return _frame(CLOSE, code.to_bytes(2, "big") + words)


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return _SHORT(first, length) + payload
    if length < 65536:
        return _MEDIUM(first, 126, length) + payload
    return _LONG(first, 127, length) + payload
