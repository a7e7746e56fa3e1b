"""Reads JSON from peers, and replaces parts that can't be read. Raises only `Malformed`. Pure.

Fields that a message needs are read strictly; a malformed field that nobody needs must not cost the message. So JSON
that RFC 8259 does not allow is decoded a second time, leniently: half a surrogate pair, bytes that are not UTF-8, a
byte order mark, control characters in text, NaN and numbers out of range are replaced. Each reader adds the names of
replaced fields to a list (`mended`), for its caller to count and log.
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

INTEGER_MAX: Final = 2**53 - 1  # the largest integer that every JSON implementation reads exactly
INT64: Final = range(-(2**63), 2**63)
MENDED_MAX_BYTES: Final = 256 * 1024  # mending costs ten times what decoding costs: a longer message is refused
DEPTH_MAX: Final = 100  # of JSON that is encoded again; values that are nested deeper become null
REPLACEMENT: Final = "\ufffd"
TEXT: Final = "text"  # in `mended`: some text or number in the message can't be read
SURROGATES: Final = re.compile("[\ud800-\udfff]")
_AROUND: Final = "\ufeff\0 \t\r\n"

# Exceptions of msgspec: for bad JSON or a wrong type; for text that is not UTF-8; for endless nesting.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Malformed(ValueError):
    """Reports a message that can't be read. `reason` is short, and safe to log and to send back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_any(message: bytes, mended: list[str], *, max_bytes: int = MENDED_MAX_BYTES) -> Any:
    """Decode JSON, leniently where needed. The last of duplicate keys counts, as in most implementations.

    Args:
        max_bytes: the longest message that is decoded leniently.

    Raises:
        Malformed: the message is no JSON even leniently.
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
    """Return a JSON message as RFC 8259 allows it, unchanged where possible. Raises Malformed."""
    mended: list[str] = []
    value = decode_any(message, mended)
    return encode_any(value) if mended else message


def require_utf8(message: bytes) -> bytes:
    """Return a message that is UTF-8, as RFC 6455 §5.6 demands. Raises Malformed for any other."""
    try:
        message.decode()
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8") from error
    return message


def encode_any(value: Any) -> bytes:
    """Encode JSON values. Text that can't be encoded is replaced; values beyond DEPTH_MAX or 64 bits become null.

    Raises:
        TypeError: a value is not of JSON.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(_writable(value, DEPTH_MAX))


def is_whole(text: str, mended: list[str]) -> bool:
    """Return whether no part of a text was replaced, as far as can be told."""
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
    """Decode base64, also with line breaks, without padding, or of the URL-safe alphabet. Raises Malformed."""
    if not isinstance(text, str):
        raise Malformed(f"{field} is not text")
    try:
        packed = b"".join(text.encode("ascii").split()).rstrip(b"=").translate(_URL_SAFE)
        return binascii.a2b_base64(packed + _PADDING[len(packed) % 4], strict_mode=True)
    except (UnicodeEncodeError, KeyError, binascii.Error) as error:
        raise Malformed(f"{field} is not base64") from error


def integer(value: object, field: str) -> int | None:
    """Return an integer of 0 or more, also of text; None for None. Raises Malformed for anything else."""
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
    """Return an integer of 0 or more, also of text; None, named in `mended`, for anything else."""
    try:
        return integer(value, field)
    except Malformed:
        mended.append(field)
        return None


def text(value: object) -> str | None:
    """Return a text; None for anything else."""
    return value if isinstance(value, str) else None


def optional_text(value: object, field: str, mended: list[str], max_chars: int) -> str | None:
    """Return a text of at most `max_chars`; None, named in `mended`, for anything else."""
    if value is None or (isinstance(value, str) and len(value) <= max_chars):
        return value
    mended.append(field)
    return None


def required_text(value: object, field: str, mended: list[str], max_chars: int) -> str:
    """Return a text of 1 to `max_chars`. Raises Malformed for anything else, and where a part was replaced."""
    if not isinstance(value, str) or not 0 < len(value) <= max_chars or not is_whole(value, mended):
        raise Malformed(f"{field} is missing or too long")
    return value


def object_field(message: dict[str, Any], name: str, mended: list[str]) -> dict[str, Any]:
    """Return the object under a name; an empty one for None, and, named in `mended`, for anything else."""
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        mended.append(name)
        return {}
    return value
