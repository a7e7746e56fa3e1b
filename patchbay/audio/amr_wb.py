"""Unpacks AMR-WB frames from an RTP payload (RFC 4867 §4) into the storage format that decoders read (§5.3). Pure.

A payload is octet-aligned or bandwidth-efficient. Telnyx's `media_format` does not say which, so the exact length
decides.
"""

from __future__ import annotations

from typing import Final

FRAMES_MAX: Final = 50  # in a payload: one second
PAYLOAD_MAX_BYTES: Final = 64 * FRAMES_MAX
NO_SPEECH: Final = frozenset({9, 14, 15})  # frame types: comfort noise (SID), speech lost, no data

# Bits of a frame by its type: nine speech modes, comfort noise, and two types without data.
_BITS: Final = {
    **dict(enumerate((132, 177, 253, 285, 317, 365, 397, 461, 477, 40))),
    14: 0,
    15: 0,
}


def unpack(payload: bytes) -> list[bytes | None]:
    """Return the frames of a payload: for each 20 ms a header byte and the speech, or None where there is no speech.

    Raises:
        ValueError: the payload has neither layout, or more than FRAMES_MAX frames.
    """
    if len(payload) <= PAYLOAD_MAX_BYTES and (found := _octet_aligned(payload) or _bandwidth_efficient(payload)):
        return found
    raise ValueError(f"not AMR-WB: {len(payload)} bytes")


def _octet_aligned(payload: bytes) -> list[bytes | None] | None:
    """Return the frames of an octet-aligned payload (§4.4): mode request, header bytes, then frames padded to bytes."""
    if len(payload) < 2 or payload[0] & 0x0F:
        return None
    headers: list[int] = []
    at = 1
    while at < len(payload) and len(headers) < FRAMES_MAX:
        header = payload[at]
        if header >> 3 & 0x0F not in _BITS or header & 0x03:
            return None
        headers.append(header & 0x7C)
        at += 1
        if not header & 0x80:
            break
    else:
        return None
    found: list[bytes | None] = []
    for header in headers:
        size = -(-_BITS[header >> 3] // 8)
        found.append(None if header >> 3 in NO_SPEECH else bytes([header]) + payload[at : at + size])
        at += size
    return found if at == len(payload) else None


def _bandwidth_efficient(payload: bytes) -> list[bytes | None] | None:
    """Return the frames of a bandwidth-efficient payload (§4.3): mode request (4 bits), headers (6 bits), frames."""
    length = len(payload) * 8
    bits = int.from_bytes(payload, "big")
    headers: list[int] = []
    at = 4
    while at + 6 <= length and len(headers) < FRAMES_MAX:
        header = bits >> length - at - 6 & 0x3F
        at += 6
        if header >> 1 & 0x0F not in _BITS:
            return None
        headers.append(header)
        if not header & 0x20:
            break
    else:
        return None
    found: list[bytes | None] = []
    for header in headers:
        kind = header >> 1 & 0x0F
        size = _BITS[kind]
        if at + size > length:
            return None
        if kind in NO_SPEECH:
            found.append(None)
        else:
            speech = bits >> length - at - size & (1 << size) - 1
            whole = -(-size // 8)
            found.append(bytes([(header & 0x1F) << 2]) + (speech << whole * 8 - size).to_bytes(whole, "big"))
        at += size
    return found if length - at < 8 else None
