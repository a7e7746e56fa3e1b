"""Reads Telnyx's `media_format`, and normalises its names of codecs. Pure.

Telnyx passes on the codec of the telephone network when it can't transcode, so only this field says how to decode a
stream.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from patchbay.protocol.lenient_json import optional_integer, optional_text

_RATES_HZ: Final = range(8000, 48_001)
_CHANNELS: Final = range(1, 3)
NAME_MAX_CHARS: Final = 64
_USUAL_RATES: Final = {
    "L16": 16_000,
    "AMR-WB": 16_000,
}  # of codecs, in Hz, where the frame has no rate; others have 8000
_ENCODINGS: Final = {
    "pcmu": "PCMU",
    "mulaw": "PCMU",
    "ulaw": "PCMU",
    "g711u": "PCMU",
    "g711ulaw": "PCMU",
    "basic": "PCMU",
    "pcma": "PCMA",
    "alaw": "PCMA",
    "g711a": "PCMA",
    "g711alaw": "PCMA",
    "l16": "L16",
    "linear16": "L16",
    "pcms16le": "L16",
    "g722": "G722",
    "opus": "OPUS",
    "amrwb": "AMR-WB",
}


class MediaFormat(msgspec.Struct, frozen=True):
    """Describes the audio of a stream.

    Attributes:
        encoding: PCMU, PCMA, L16, G722, OPUS, AMR-WB, or Telnyx's name in capitals.
        sample_rate: in Hz.
    """

    encoding: str = "PCMU"
    sample_rate: int = 8000
    channels: int = 1


PCMU: Final = MediaFormat()


def normalise_encoding(name: str) -> str:
    """Return the one name of a codec for which Telnyx has several: `PCMU` for `audio/x-mulaw`, `pcmu` …"""
    bare = name.split(";")[0].strip().lower().removeprefix("audio/").removeprefix("x-")
    key = bare.replace("-", "").replace("_", "").replace(".", "")
    return _ENCODINGS.get(key, bare.upper())


def read_media_format(given: dict[str, Any], mended: list[str]) -> MediaFormat:
    """Read a `media_format` object of JSON.

    A field that is missing, unreadable (`patchbay.protocol.lenient_json`) or out of range has its default: PCMU, the
    codec's rate, mono. Unreadable and out of range fields are added to `mended`.
    """
    encoding = normalise_encoding(
        optional_text(given.get("encoding"), "media_format.encoding", mended, NAME_MAX_CHARS) or "PCMU"
    )
    rate = _within(_RATES_HZ, given.get("sample_rate"), "media_format.sample_rate", mended)
    channels = _within(_CHANNELS, given.get("channels"), "media_format.channels", mended)
    return MediaFormat(encoding, rate or _USUAL_RATES.get(encoding, 8000), channels or 1)


def _within(allowed: range, value: object, field: str, mended: list[str]) -> int | None:
    number = optional_integer(value, field, mended)
    if number is None or number in allowed:
        return number
    mended.append(field)
    return None
