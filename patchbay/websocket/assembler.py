"""Assembles messages from fragments, and checks control frames, text and protocol faults (RFC 6455 §5.4, §5.5, §8.1).

Pure: takes unmasked frames. The connection answers pings.
"""

from __future__ import annotations

from codecs import utf_8_decode
from typing import Final, NamedTuple

from patchbay.protocol.errors import CLOSE_BAD_TEXT, CLOSE_PROTOCOL, CLOSE_TOO_BIG
from patchbay.websocket.frames import CONTROL_BIT, FINAL_BIT, NO_CLOSE_CODE, OPCODE_BITS, Opcode

CONTROL_PAYLOAD_MAX_BYTES: Final = 125
RESERVED_BITS: Final = 0x70
_OPCODES: Final = frozenset(Opcode)
# Close codes that a peer may send: RFC 6455 §7.4 and IANA's registry.
_CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class Fault(Exception):
    """Reports that the peer has violated the protocol: the connection is to be closed with `code` (RFC 6455 §7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Message(NamedTuple):
    """Holds a whole message."""

    is_text: bool
    payload: bytes


class Close(NamedTuple):
    """Reports that the peer closes the connection, with NO_CLOSE_CODE where its frame has no code."""

    code: int


class Assembler:
    """Joins fragments to messages.

    Args:
        message_max_bytes: a longer message is a fault.
        is_strict: text that is not UTF-8 is a fault.

    Attributes:
        is_within: a message has begun, and its last fragment has not arrived.
    """

    __slots__ = ("_first", "_is_strict", "_max_bytes", "_pieces", "_size", "_text_tail", "is_within")

    def __init__(self, message_max_bytes: int, *, is_strict: bool = True) -> None:
        self._max_bytes = message_max_bytes
        self._is_strict = is_strict
        self.is_within = False
        self._first = 0  # opcode of the message
        self._pieces: list[bytes] = []
        self._size = 0
        self._text_tail = b""  # the first bytes of an incomplete character

    def admit(self, first: int, size: int) -> None:
        """Raise Fault if a frame with this first byte and payload size is not allowed now."""
        opcode = first & OPCODE_BITS
        if first & RESERVED_BITS or opcode not in _OPCODES:
            raise Fault(CLOSE_PROTOCOL, "reserved bits or an unknown opcode")
        if opcode & CONTROL_BIT:
            if not first & FINAL_BIT or size > CONTROL_PAYLOAD_MAX_BYTES:
                raise Fault(CLOSE_PROTOCOL, "a control frame in fragments, or too long")
        elif (opcode == Opcode.CONTINUATION) != self.is_within:
            raise Fault(CLOSE_PROTOCOL, "a fragment out of place")
        elif self._size + size > self._max_bytes:
            raise Fault(CLOSE_TOO_BIG, "too long a message")

    def take(self, first: int, payload: bytes) -> Message | Close | None:
        """Add a whole frame, and return the message or close that it completes; None: none yet. Raises Fault."""
        self.admit(first, len(payload))
        opcode = first & OPCODE_BITS
        if opcode == Opcode.CLOSE:
            return _read_close(payload)
        if opcode & CONTROL_BIT:
            return None
        if not self.is_within:
            self._first, self.is_within = opcode, True
        self._pieces.append(payload)
        self._size += len(payload)
        is_final = bool(first & FINAL_BIT)
        if self._first == Opcode.TEXT and self._is_strict:
            self._check_text(payload, is_final=is_final)
        return self._complete() if is_final else None

    def _check_text(self, payload: bytes, *, is_final: bool) -> None:
        """Raise Fault as soon as text is not UTF-8, even within a message (RFC 6455 §8.1)."""
        data = self._text_tail + payload
        try:
            _, used = utf_8_decode(data, "strict", is_final)
        except UnicodeDecodeError:
            raise Fault(CLOSE_BAD_TEXT, "text that is not UTF-8") from None
        self._text_tail = data[used:]

    def _complete(self) -> Message:
        message = Message(self._first == Opcode.TEXT, b"".join(self._pieces))
        self._pieces.clear()
        self._size, self._text_tail, self.is_within = 0, b"", False
        return message


def _read_close(payload: bytes) -> Close:
    if not payload:
        return Close(NO_CLOSE_CODE)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _CLOSE_CODES:
        raise Fault(CLOSE_PROTOCOL, "a close frame without a proper code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise Fault(CLOSE_BAD_TEXT, "a reason that is not UTF-8") from None
    return Close(code)


class LongFrame:
    """Collects a frame that is longer than one read.

    Attributes:
        left: how many bytes are missing.
    """

    __slots__ = ("_data", "left")

    def __init__(self, size: int) -> None:
        self._data = bytearray()
        self.left = size

    def take(self, data: bytes | bytearray | memoryview, at: int, size: int) -> int:
        """Add the part of the frame in data[at:size], and return where that part ends."""
        end = min(size, at + self.left)
        self._data += data[at:end]
        self.left -= end - at
        return end

    def raw(self) -> bytearray:
        """Return the frame as it was received, once it is whole."""
        return self._data
