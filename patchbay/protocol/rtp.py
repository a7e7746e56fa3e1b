"""Reads RTP packets of G.711 (RFC 3550 §5.1), and tells them from bare audio. Pure.

The existing frontend sends whole packets, Telnyx wants the bytes without a header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from patchbay.protocol.lenient_json import Malformed

if TYPE_CHECKING:
    from patchbay.audio.g711 import Codec

HEADER_BYTES: Final = 12
PADDING, EXTENSION, SOURCES = 0x20, 0x10, 0x0F  # bits of the first byte
_VERSION_BITS, _VERSION_2 = 0xC0, 0x80
_MARKER: Final = 0x80
_CODECS: Final[dict[int, Codec]] = {0: "PCMU", 8: "PCMA"}
_RTCP: Final = range(192, 224)  # second bytes that are RTCP's where both come the same way (RFC 5761, section 4)
_NAMES: Final = {13: "comfort noise", 19: "comfort noise"}
_BLOCK_BYTES: Final = 80  # 10 ms of G.711
_PACKET_MAX_BYTES: Final = 2048  # longer ones don't fit into a datagram of any network
_DROPOUT_MAX: Final = 100  # sequence numbers that a packet may be ahead of the one before


class NotAudio(Malformed):
    """Reports a well-formed packet that is not G.711, and is dropped."""


class Packet(NamedTuple):
    """Holds the audio of a packet, in the codec that its header names; of bare audio, in the call's codec."""

    payload: bytes
    codec: Codec | None


def source_of(data: bytes) -> bytes:
    """Return the source (SSRC) of a packet; b"" when the message can't be a packet."""
    if not data or data[0] & _VERSION_BITS != _VERSION_2:
        return b""
    at = 4 if data[1:2] and data[1] in _RTCP else 8
    return data[at : at + 4] if len(data) >= at + 4 else b""


def is_packet(data: bytes) -> bool:
    """Return whether these bytes can be an RTP or RTCP packet: version 2, and a header that fits."""
    if not source_of(data):
        return False
    return _is_rtcp(data) if data[1] in _RTCP else _header_bytes(data) <= len(data)


def unpack(data: bytes) -> Packet:
    """Return the audio of a packet.

    Raises:
        NotAudio: the packet has no G.711.
        Malformed: the header and the padding are longer than the packet.
    """
    if data[1] in _RTCP:
        raise NotAudio("an RTCP packet")
    begin, end = _header_bytes(data), len(data)
    if data[0] & PADDING:
        end -= data[-1]
        if not data[-1]:
            end = -1
    if end < begin:
        raise Malformed("an RTP packet that is shorter than its header and its padding")
    payload_type = data[1] & ~_MARKER
    codec = _CODECS.get(payload_type)
    if codec is None:
        name = _NAMES.get(payload_type, "telephone-event, or another codec" if payload_type > 95 else "another codec")
        raise NotAudio(f"an RTP packet of payload type {payload_type} ({name}); only 0 (PCMU) and 8 (PCMA) are spoken")
    if begin == end:
        raise NotAudio("an RTP packet without audio")
    return Packet(data[begin:end], codec)


def _header_bytes(data: bytes) -> int:
    """Return the length of the header, with sources and extension. A packet that is cut short may be shorter."""
    size = HEADER_BYTES + 4 * (data[0] & SOURCES)
    if data[0] & EXTENSION:
        size += 4 + 4 * int.from_bytes(data[size + 2 : size + 4], "big")
    return size


def _is_rtcp(data: bytes) -> bool:
    """Return whether this is exactly one compound packet (RFC 3550 §6.1)."""
    at = 0
    while at + 4 <= len(data) and data[at] & _VERSION_BITS == _VERSION_2 and data[at + 1] in _RTCP:
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
    return at == len(data)


class Depacketizer:
    """Tells the RTP packets of one talker from bare audio.

    A message is a packet when it has the source (SSRC) of the packets before. When there is no such source yet, or the
    message has another one:

    * whole 10 ms blocks behind a header of PCMU or PCMA are a packet, unless the last bare message was as long;
    * RTCP is a packet;
    * any other message of a talker that has sent bare audio is bare, and so is a message of whole blocks;
    * any other first message that can be a packet is held until the next message: two of the same source, in sequence,
      are packets. Without a next message, `release` decides.

    When a bare message is followed by the next packet of its source, the talker has changed to RTP with that message. A
    message that can't be a packet is always bare.

    Attributes:
        ssrc: the source of the packets so far; b"": there is none yet.
        bare_bytes: the length of the last bare message; 0: there was none yet.
        held: a message that is not decided yet; b"": none.
    """

    __slots__ = ("_last", "bare_bytes", "held", "ssrc")

    def __init__(self) -> None:
        self.ssrc = b""
        self.bare_bytes = 0
        self.held = b""
        self._last = b""  # the last bare message, if it can be a packet

    def take(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Take a message. Return the decided messages in order, and whether each is a packet (for `unpack`)."""
        held, self.held = self.held, b""
        ssrc = source_of(data)
        if not ssrc or not (ssrc == self.ssrc or is_packet(data)):
            return [*self._bare(held), *self._bare(data)]
        if ssrc == self.ssrc or _follows(data, held or self._last):
            self.ssrc, self._last = ssrc, b""
            return [*([(held, True)] if source_of(held) == ssrc else self._bare(held)), (data, True)]
        decided = self._bare(held)
        if data[1] in _RTCP:
            return [*decided, (data, True)]
        if self._is_likely(data) and _has_whole_blocks(data):
            self.ssrc, self._last = ssrc, b""
            return [*decided, (data, True)]
        if self.bare_bytes or len(data) % _BLOCK_BYTES == 0 or len(data) > _PACKET_MAX_BYTES:
            return [*decided, *self._bare(data)]
        self.held = data
        return decided

    def release(self) -> list[tuple[bytes, bool]]:
        """Decide about the held message, since no other message has arrived. Return it as `take` does."""
        held, self.held = self.held, b""
        if held and held[1] in _CODECS:  # see `_is_likely`
            self.ssrc = held[8:12]
            return [(held, True)]
        return self._bare(held)

    def _is_likely(self, data: bytes) -> bool:
        """Return whether a header is likely: the shortest one; or, before any bare audio, one that audio hardly begins
        with, since it would be a loud positive sample beside one of the loudest negative ones."""
        if self.bare_bytes:
            return data[0] == _VERSION_2 and len(data) != self.bare_bytes
        return data[0] == _VERSION_2 or data[1] in _CODECS

    def _bare(self, data: bytes) -> list[tuple[bytes, bool]]:
        if not data:
            return []
        self.bare_bytes = len(data)
        self._last = data if is_packet(data) else b""
        return [(data, False)]


def _has_whole_blocks(data: bytes) -> bool:
    """Return whether the payload is whole 10 ms blocks of G.711."""
    try:
        return len(unpack(data).payload) % _BLOCK_BYTES == 0
    except Malformed:
        return False


def _follows(data: bytes, before: bytes) -> bool:
    """Return whether a packet follows another one of the same source. Different packets may have one number."""
    if source_of(before) != source_of(data) or data == before:
        return False
    ahead = int.from_bytes(data[2:4], "big") - int.from_bytes(before[2:4], "big")
    return data[1] in _RTCP or ahead % 0x10000 <= _DROPOUT_MAX
