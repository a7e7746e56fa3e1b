"""Tells a whole RTP packet of G.711 from a bare payload, and takes its header off (RFC 3550, section 5.1).

The existing frontend sends whole packets, Telnyx wants the bytes without a header. Knows nothing else of RTP.
"""

from __future__ import annotations

from typing import Final, Literal

HEADER_BYTES: Final = 12
_VERSION_2: Final = 0x80  # no padding, no extension, no contributing sources: all that browsers' code ever sets
_BLOCK_BYTES: Final = 80  # 10 ms of G.711
_PAYLOAD_TYPES: Final[dict[int, Literal["PCMU", "PCMA"]]] = {
    0x00: "PCMU",
    0x80: "PCMU",  # with the marker bit: the first packet after a pause
    0x08: "PCMA",
    0x88: "PCMA",
}


def strip(payload: bytes) -> tuple[bytes, Literal["PCMU", "PCMA"] | None]:
    """The audio in `payload` and the codec that its RTP header names, or `payload` as it is and None.

    A packet is 12 bytes longer than a whole number of 10 ms blocks. That is what tells it from a bare payload whose
    first two samples happen to look like a header: those are whole blocks themselves.
    """
    body_bytes = len(payload) - HEADER_BYTES
    if body_bytes <= 0 or body_bytes % _BLOCK_BYTES or payload[0] != _VERSION_2:
        return payload, None
    codec = _PAYLOAD_TYPES.get(payload[1])
    if codec is None:
        return payload, None
    return payload[HEADER_BYTES:], codec
