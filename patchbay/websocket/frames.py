"""Finds a client's WebSocket frames in a buffer, and builds a server's (RFC 6455 §5.2). Pure.

Fragments, control frames and faults are found here, but judged by `patchbay.websocket.assembler`.
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
FINAL_BIT, OPCODE_BITS, CONTROL_BIT = 0x80, 0x0F, 0x08  # in a frame's first byte
PING: Final = b"\x89\x00"  # a server's ping without payload, ready to send
CLIENT_PING: Final = 0x89
FRAME_HEAD_MAX_BYTES: Final = 14  # §5.2
NOT_MASKED: Final = -1
WAITING_FRAGMENTS_MAX: Final = 16  # of an incomplete message
WAITING_BYTES_MAX: Final = 8192  # of an incomplete message; much less than one read, which must reach its end


class Opcode(IntEnum):
    """Names the opcodes of RFC 6455 §11.8."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


NO_CLOSE_CODE: Final = 1005  # stands for a close frame without a code; never sent
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
        data: the bytes that the socket has received, valid up to `size`.
        at: the offset at which the first frame begins.
        longest: an incomplete frame with a payload up to this length is left in the socket until it is complete.
        limit: how many frames to find at most; None: all.

    Returns:
        The frames, as (first byte, start of the frame, start of its payload, end). The four bytes before a payload are
        its masking key. The whole size of the next frame, if its payload is longer than `longest`; NOT_MASKED if that
        frame is not masked (§5.1); else 0, also when its length is not known yet or `limit` was reached.
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
    """Return the frames without the fragments of an incomplete message at their end.

    These fragments stay in the socket, as an incomplete frame does, so they survive this process. The frames are
    returned unchanged when the fragments are too many or too long to be read again and again, when control frames are
    among them, which need an answer at once, or when `is_strict` and their text is not UTF-8, which is refused at once.
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
    """Tell whether the incomplete frame at `at` is text that is not UTF-8, whatever follows."""
    if data[at] != TEXT or size - at < 6:
        return False
    payload = at + {126: 8, 127: 14}.get(data[at + 1] & 0x7F, 6)
    if payload > size:
        return False  # the masking key is incomplete
    return not _may_be_text([unmask(data, payload, size)])


def unmask(data: bytes | bytearray | memoryview, payload: int, end: int) -> bytes:
    """Return the unmasked payload of a frame that `find_frames` has found."""
    # `apply_mask` takes any buffer, unlike its signature.
    return apply_mask(data[payload:end], data[payload - 4 : payload])  # type: ignore[arg-type]


def text_frame(payload: bytes) -> bytes:
    """Make a server's text message of one frame, from UTF-8."""
    return _frame(TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """Make a server's binary message of one frame."""
    return _frame(BINARY, payload)


def pong_frame(payload: bytes) -> bytes:
    """Make a server's answer to a ping."""
    return _frame(PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """Make a server's close frame. A reason of more than REASON_MAX_BYTES is cut."""
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
