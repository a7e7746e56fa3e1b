"""Reads JSON from peers, and raises nothing but `Malformed`.

What a message is needed for is read strictly; a field that nobody needs never costs the message. So JSON is decoded as
RFC 8259 says where it can be, and otherwise once more with everything replaced that can't be read: half a surrogate
pair, bytes that are not UTF-8, a byte order mark, control characters in text, NaN and numbers out of range. Each reader
says in a list (`mended`) which fields it has replaced, so that its caller can count and log them.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from typing import Any, Final

import msgspec
import orjson

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = {0: b"", 2: b"==", 3: b"="}

INTEGER_MAX: Final = 2**53 - 1  # what every JSON implementation can carry
INT64: Final = range(-(2**63), 2**63)
MENDED_MAX_BYTES: Final = 256 * 1024  # mending costs ten times what decoding costs: a longer message is refused
DEPTH_MAX: Final = 100  # of JSON that is written anew; what is nested deeper becomes null
REPLACEMENT: Final = "\ufffd"
TEXT: Final = "text"  # in `mended`: somewhere in the message was text or a number that can't be read
SURROGATES: Final = re.compile("[\ud800-\udfff]")
_AROUND: Final = "\ufeff\0 \t\r\n"

# What msgspec raises: for bad JSON or a wrong type; for text that is not UTF-8; for nesting without end.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Malformed(ValueError):
    """The peer sent a message that can't be read. `reason` is short, and safe to log and to send back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_any(message: bytes, mended: list[str], *, max_bytes: int = MENDED_MAX_BYTES) -> Any:
    """Decode JSON, mending it where need be. Of a key that is there twice the last counts, as with most readers of
    JSON.

    Args:
        max_bytes: of a message that is mended.

    Raises:
        Malformed: it is no JSON even so.
    """
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError:
        value = _mend(message, max_bytes)
    mended.append(TEXT)
    return value


def decode_object(message: bytes, mended: list[str] | None = None) -> dict[str, Any]:
    """Decode a JSON object of any shape. Raises Malformed."""
    value = decode_any(message, [] if mended is None else mended)
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


def clean(message: bytes) -> bytes:
    """Return a JSON message as every reader of JSON can read it: itself where it is so already. Raises Malformed."""
    mended: list[str] = []
    value = decode_any(message, mended)
    return encode_any(value) if mended else message


def require_utf8(message: bytes) -> bytes:
    """Return a message of a peer whose text must be UTF-8, as every browser's is (RFC 6455 §5.6). Raises Malformed."""
    try:
        message.decode()
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8") from error
    return message


def encode_any(value: Any) -> bytes:
    """Encode what is made of JSON values. What no reader could read is replaced, and what is nested too deep left out.

    Raises:
        TypeError: there is something else in it.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(_writable(value, DEPTH_MAX))


def is_whole(text: str, mended: list[str]) -> bool:
    """Return whether no part of a text was replaced."""
    return not (mended and REPLACEMENT in text)


def _mend(message: bytes, max_bytes: int) -> Any:
    if len(message) > max_bytes:
        raise Malformed("not JSON")
    try:
        text = message.decode(json.detect_encoding(message), "replace").strip(_AROUND)
        value = _forgiving.decode(text)
        return orjson.loads(SURROGATES.sub(REPLACEMENT, json.dumps(value, ensure_ascii=False)))
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error


def _integer(digits: str) -> int | float | None:
    if len(digits) < 20 and (number := int(digits)) in INT64:
        return number
    return _float(digits)


def _float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _constant(name: str) -> None:
    del name  # NaN, Infinity, -Infinity


_forgiving: Final = json.JSONDecoder(strict=False, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _writable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return SURROGATES.sub(REPLACEMENT, value)
    if isinstance(value, dict):
        if not depth:
            return None
        return {SURROGATES.sub(REPLACEMENT, str(key)): _writable(each, depth - 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(each, depth - 1) for each in value] if depth else None
    if isinstance(value, int) and value not in INT64:
        return None
    return value


def decode_base64(text: object, field: str) -> bytes:
    """Decode base64 as peers write it: with line breaks, without its padding, or with the URL-safe alphabet."""
    if not isinstance(text, str):
        raise Malformed(f"{field} is not text")
    try:
        packed = b"".join(text.encode("ascii").split()).rstrip(b"=").translate(_URL_SAFE)
        return binascii.a2b_base64(packed + _PADDING[len(packed) % 4], strict_mode=True)
    except (UnicodeEncodeError, KeyError, binascii.Error) as error:
        raise Malformed(f"{field} is not base64") from error


def integer(value: object, field: str) -> int | None:
    """Return a number of 0 or more, which may be written as text; None when there is none."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= INTEGER_MAX:
        raise Malformed(f"{field} is not a number")
    return value


def optional_integer(value: object, field: str, mended: list[str]) -> int | None:
    """Return such a number; None, named in `mended`, when it can't be read."""
    try:
        return integer(value, field)
    except Malformed:
        mended.append(field)
        return None


def text(value: object) -> str | None:
    """Return a text; None for anything else, without an error."""
    return value if isinstance(value, str) else None


def optional_text(value: object, field: str, mended: list[str], max_chars: int) -> str | None:
    """Return a text of at most `max_chars`; None, named in `mended`, for anything else."""
    if value is None or (isinstance(value, str) and len(value) <= max_chars):
        return value
    mended.append(field)
    return None


def required_text(value: object, field: str, mended: list[str], max_chars: int) -> str:
    """Return a text without which a message means nothing. Raises Malformed, also where a part of it was replaced."""
    if not isinstance(value, str) or not 0 < len(value) <= max_chars or not is_whole(value, mended):
        raise Malformed(f"{field} is missing or too long")
    return value


def object_field(message: dict[str, Any], name: str, mended: list[str]) -> dict[str, Any]:
    """Return the object under a name; an empty one when there is none, or something else (named in `mended`)."""
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        mended.append(name)
        return {}
    return value
