"""In which form talk travels from a browser to Telnyx. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from actors.wire.g711 import Codec

FRAME_BYTES: Final = 160  # 20 ms of G.711, the least that Telnyx plays


def talk_codec(encoding: str) -> Codec:
    """The codec of talk into a call: the call's own where that is G.711, else PCMU, which is what Telnyx expects of a
    stream that declared nothing (`stream_bidirectional_codec`'s default)."""
    return "PCMA" if encoding == "PCMA" else "PCMU"
