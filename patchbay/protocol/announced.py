"""Defines how call_events tells the ingests which calls may have a stream: those that a webhook has announced. Pure."""

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
    """`until`: by call control id, up to when a stream of it may begin, µs since 1970. `whole`: there are no others."""

    until: dict[str, int]
    whole: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Announcement).decode


def pack(until: Mapping[str, int], *, whole: bool) -> bytes:
    """Make a message."""
    return TOPIC + _encode(Announcement(dict(until), whole))


def unpack(message: bytes) -> Announcement:
    """Read one. Raises Malformed."""
    try:
        return _decode(message[len(TOPIC) :])
    except DECODE_ERRORS as error:
        raise Malformed("not an announcement") from error
