"""Defines the form of talk between browsers and Telnyx. Pure."""

from __future__ import annotations

from binascii import b2a_base64
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from patchbay.audio.g711 import Codec

FRAME_MS: Final = 20
FRAME_BYTES: Final = 160  # 20 ms of G.711, the least that Telnyx plays
FRAME_BASE64_BYTES: Final = len(b2a_base64(bytes(FRAME_BYTES), newline=False))
BYTES_PER_S: Final = 8000
MARK_NAME_MAX_CHARS: Final = 256


def talk_codec(encoding: str) -> Codec:
    """Return the codec of talk into a call: the call's own where that is G.711; otherwise PCMU, the default of Telnyx's
    `stream_bidirectional_codec`."""
    return "PCMA" if encoding == "PCMA" else "PCMU"
