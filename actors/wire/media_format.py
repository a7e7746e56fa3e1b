"""What a stream's audio is: Telnyx's `media_format`, with its codec names made one.

Telnyx sends the codec of the telephone network when it can't transcode, so this alone says how to decode.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.wire.lenient import Malformed, optional_integer, optional_text

_RATE_MAX_HZ: Final = 192_000
_CHANNELS_MAX: Final = 2
NAME_MAX_CHARS: Final = 64
_USUAL_RATES: Final = {"L16": 16_000, "AMR-WB": 16_000}  # when the frame names none; else 8000
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
    encoding: str = "PCMU"  # PCMU, PCMA, L16, G722, OPUS, AMR-WB, or what Telnyx calls it, in capitals
    sample_rate: int = 8000
    channels: int = 1


def normalise_encoding(name: str) -> str:
    """Telnyx's several names of a codec to one: `audio/x-mulaw`, `pcmu` … to `PCMU`."""
    bare = name.split(";")[0].strip().lower().removeprefix("audio/").removeprefix("x-")
    key = bare.replace("-", "").replace("_", "").replace(".", "")
    return _ENCODINGS.get(key, bare.upper())


def read_media_format(given: dict[str, Any], mended: list[str]) -> MediaFormat:
    """The JSON object as it came; what it leaves out, or what can't be read (see `wire.lenient`), is PCMU, the codec's
    usual rate, mono. Raises Malformed: it says something that can't be played."""
    encoding = normalise_encoding(
        optional_text(given.get("encoding"), "media_format.encoding", mended, NAME_MAX_CHARS) or "PCMU"
    )
    rate = _positive(given.get("sample_rate"), "media_format.sample_rate", mended)
    channels = _positive(given.get("channels"), "media_format.channels", mended) or 1
    if rate is None:
        rate = _USUAL_RATES.get(encoding, 8000)
    if rate > _RATE_MAX_HZ or channels > _CHANNELS_MAX:
        raise Malformed("media_format is out of range")
    return MediaFormat(encoding, rate, channels)


def _positive(value: object, field: str, mended: list[str]) -> int | None:
    number = optional_integer(value, field, mended)
    if number == 0:
        mended.append(field)
    return number or None
