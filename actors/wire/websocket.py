"""WebSocket frames (RFC 6455 §5.2) as the hot path needs them: finding a client's frames, building a server's.

Pure, and shared by both sides of the system. Everything unusual (fragments, control frames, errors) is not decided
here: those frames are found and passed on whole to the general implementation.
"""

from __future__ import annotations

import struct
from codecs import utf_8_decode
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel with the C routine for this platform
    from websockets.utils import apply_mask

__all__ = [
    "BINARY",
    "CLOSE",
    "MEDIUM_HEADER_BYTES",
    "MEDIUM_TEXT",
    "NOT_MASKED",
    "PING",
    "TEXT",
    "apply_mask",
    "binary_frame",
    "cannot_be_text",
    "close_frame",
    "find_frames",
    "pong_frame",
    "text_frame",
    "unmask",
]

TEXT: Final = 0x81  # first byte of a whole text message: FIN, no reserved bit, opcode 1
BINARY: Final = 0x82
MEDIUM_TEXT: Final = TEXT << 8 | 0xFE  # first two bytes of a client's whole text message of 126 to 65,535 bytes
MEDIUM_HEADER_BYTES: Final = 8  # of such a message, its masking key included
CLOSE: Final = 0x88
PONG: Final = 0x8A
PING: Final = b"\x89\x00"  # a server's ping without payload, ready to send
NOT_MASKED: Final = -1

# Close codes beyond RFC 6455's. 4000-4499: come back; 4500-4999: do not, unchanged.
CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_LIFETIME: Final = 4009  # it has been open as long as any may: come back
CLOSE_BAD_TOKEN: Final = 4501  # its token is missing or not valid
CLOSE_NOT_ALLOWED: Final = 4503  # its token does not grant what it asked for
CLOSE_EXPIRED: Final = 4502  # its token has expired: come back with a new one
CLOSE_FLOOD: Final = 4506  # the client sent more messages than it may
CLOSE_SLOW: Final = 4008  # the client did not keep up with its events: come back with `since`

Frame = tuple[int, int, int, int]  # first byte, start of the frame, start of its payload, end

_SHORT = struct.Struct(">BB").pack
_MEDIUM = struct.Struct(">BBH").pack
_LONG = struct.Struct(">BBQ").pack


def find_frames(data: bytes | bytearray | memoryview, at: int, size: int, longest: int) -> tuple[list[Frame], int]:
    """Find the complete frames of a client in a buffer.

    Args:
        data: what the socket holds; valid up to `size`.
        at: where to begin; a frame begins there.
        longest: payload length up to which an incomplete frame is worth waiting for.

    Returns:
        A list of (first byte, start of the frame, start of its payload, end). The four bytes before a payload are its
        masking key. And how many bytes, from the end of the last one, the next frame takes in all: 0 when it is
        incomplete but will do, or when that can't be told yet; NOT_MASKED for a frame that breaks the rule that clients
        mask (the general implementation has an answer to that).
    """
    frames: list[Frame] = []
    while size - at >= 2:
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


def cannot_be_text(data: bytes | bytearray | memoryview, at: int, size: int) -> bool:
    """Whether the incomplete frame that begins at `at` is one of text that is not UTF-8 already, whatever follows."""
    if data[at] != TEXT or size - at < 6:
        return False
    payload = at + {126: 8, 127: 14}.get(data[at + 1] & 0x7F, 6)
    if payload > size:
        return False  # not even the masking key is whole
    try:
        utf_8_decode(unmask(data, payload, size), "strict", False)
    except UnicodeDecodeError:
        return True
    return False


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


def close_frame(code: int) -> bytes:
    """A server's goodbye without a reason in words."""
    return _frame(CLOSE, code.to_bytes(2, "big"))


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return _SHORT(first, length) + payload
    if length < 65536:
        return _MEDIUM(first, 126, length) + payload
    return _LONG(first, 127, length) + payload
