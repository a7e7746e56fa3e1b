"""What the JSON protocols share: reading anything that peers send without raising anything but `Malformed`."""

from __future__ import annotations

import binascii
from typing import Any, Final

import msgspec

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = {0: b"", 2: b"==", 3: b"="}

INTEGER_MAX: Final = 2**53 - 1  # what every JSON implementation can carry

# What msgspec raises: for bad JSON or a wrong type; for text that is not UTF-8; for nesting without end.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Malformed(ValueError):
    """The peer's fault: a message that cannot be read. `reason` is short, and safe to log and to send back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_object(message: bytes) -> dict[str, Any]:
    """A JSON object of any shape. Of a key that is there twice the last counts, as with most readers of JSON."""
    try:
        value = msgspec.json.decode(message)
    except DECODE_ERRORS as error:
        raise Malformed("not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


def decode_base64(text: object, field: str) -> bytes:
    """Base64 as peers write it: with line breaks, without its padding, or with the URL-safe alphabet."""
    if not isinstance(text, str):
        raise Malformed(f"{field} is not text")
    try:
        packed = b"".join(text.encode("ascii").split()).rstrip(b"=").translate(_URL_SAFE)
        return binascii.a2b_base64(packed + _PADDING[len(packed) % 4], strict_mode=True)
    except (UnicodeEncodeError, KeyError, binascii.Error) as error:
        raise Malformed(f"{field} is not base64") from error


def integer(value: object, field: str) -> int | None:
    """A number of 0 or more that may be written as text; None when there is none."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= INTEGER_MAX:
        raise Malformed(f"{field} is not a number")
    return value


def text(value: object) -> str | None:
    """Text, or None for whatever is not: for fields that are good to have but worth no error."""
    return value if isinstance(value, str) else None
