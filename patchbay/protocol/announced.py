"""Packs announcements, in which call_events names to ingest the calls that may have a stream. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from patchbay.protocol.lenient_json import DECODE_ERRORS, Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

TOPIC: Final = b"a"
ALWAYS: Final = 2**62  # until the call ends
NEVER: Final = 0


class Announcement(msgspec.Struct, frozen=True, array_like=True):
    """Holds announced calls.

    Attributes:
        until: by call control id, the time until which a stream may begin, µs since 1970; ALWAYS or NEVER.
        whole: no other call is announced.
    """

    until: dict[str, int]
    whole: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Announcement).decode


def pack(until: Mapping[str, int], *, whole: bool) -> bytes:
    """Pack an announcement."""
    return TOPIC + _encode(Announcement(dict(until), whole))


def unpack(message: bytes) -> Announcement:
    """Unpack an announcement. Raises Malformed."""
    try:
        return _decode(message[len(TOPIC) :])
    except DECODE_ERRORS as error:
        raise Malformed("not an announcement") from error
