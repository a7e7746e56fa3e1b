"""Takes AMR-WB frames out of an RTP payload (RFC 4867, section 4), in the form that decoders read (section 5.3).

Both layouts, told apart by their exact lengths: nothing in Telnyx's `media_format` says which one it is.
"""

from __future__ import annotations

from typing import Final

FRAMES_MAX: Final = 50  # of a payload: a second
PAYLOAD_MAX_BYTES: Final = 64 * FRAMES_MAX
SILENT: Final = frozenset({9, 14, 15})  # frame types without speech: a description of silence, lost, nothing

# Bits by frame type: nine modes of speech, a description of silence, and two that have none.
_BITS: Final = {
    **dict(enumerate((132, 177, 253, 285, 317, 365, 397, 461, 477, 40))),
    14: 0,
    15: 0,
}


def frames(payload: bytes) -> list[bytes | None]:
    """Take the frames apart: each 20 ms as one byte of header and its speech, or None where there is none.

    Raises ValueError when the payload is laid out in neither way, or has more than FRAMES_MAX.
    """
    if len(payload) <= PAYLOAD_MAX_BYTES and (found := _octet_aligned(payload) or _bandwidth_efficient(payload)):
        return found
    raise ValueError(f"not AMR-WB: {len(payload)} bytes")


def _octet_aligned(payload: bytes) -> list[bytes | None] | None:
    """A byte of mode request, a byte of header for each frame, then the frames, each from a byte's beginning."""
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
        found.append(None if header >> 3 in SILENT else bytes([header]) + payload[at : at + size])
        at += size
    return found if at == len(payload) else None


def _bandwidth_efficient(payload: bytes) -> list[bytes | None] | None:
    """The same without any padding but at the end: four bits of mode request, six of header for each frame."""
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
        if kind in SILENT:
            found.append(None)
        else:
            speech = bits >> length - at - size & (1 << size) - 1
            whole = -(-size // 8)
            found.append(bytes([(header & 0x1F) << 2]) + (speech << whole * 8 - size).to_bytes(whole, "big"))
        at += size
    return found if length - at < 8 else None
