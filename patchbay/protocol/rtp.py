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
    """The packet can be read, but is not G.711. It is dropped."""


class Packet(NamedTuple):
    """Holds the audio of a packet, in the codec that its header names; of bare audio, in the call's codec."""

    payload: bytes
    codec: Codec | None


def source_of(data: bytes) -> bytes:
    """Return the source (SSRC) that a packet would have; b"" when this can't be a packet."""
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
        NotAudio: it carries something else, or nothing.
        Malformed: its header or padding is longer than the packet.
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
    """Return the length of the header, with sources and extension; more than the packet's where it is cut short."""
    size = HEADER_BYTES + 4 * (data[0] & SOURCES)
    if data[0] & EXTENSION:
        size += 4 + 4 * int.from_bytes(data[size + 2 : size + 4], "big")
    return size


def _is_rtcp(data: bytes) -> bool:
    """Return whether this is a compound packet, to the byte (RFC 3550 §6.1)."""
    at = 0
    while at + 4 <= len(data) and data[at] & _VERSION_BITS == _VERSION_2 and data[at + 1] in _RTCP:
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
    return at == len(data)


class Depacketizer:
    """Decides whether one talker sends RTP packets or bare audio, and tells which messages are which.

    A packet is known by the source (SSRC) of those before. Where there is none, or another one:

    * whole 10 ms blocks behind a header of PCMU or PCMA, as browsers' code makes them, are a packet at once, unless the
      last bare message was as long;
    * so is RTCP;
    * anything else of a talker who has sent bare audio is bare, and so is a message of whole blocks;
    * another first message that can be a packet is held until the next one: two of the same source, in sequence, are
      packets. Without a next one `release` decides.

    What was taken for bare, and is followed by the next packet of the same source, was the first of a talker who has
    changed to RTP. What can't be a packet is bare at any time.

    Attributes:
        ssrc: the source whose packets are known; b"" while there is none.
        bare_bytes: the length of the last bare message, 0 while there was none.
        held: a message about which nothing is decided yet; b"" for none.
    """

    __slots__ = ("_last", "bare_bytes", "held", "ssrc")

    def __init__(self) -> None:
        self.ssrc = b""
        self.bare_bytes = 0
        self.held = b""
        self._last = b""  # a message that could have been a packet, and was taken for bare

    def take(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Take a message. Returns those that are decided, in order, each with whether it is a packet (`unpack`)."""
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
        """Decide about what is held: nothing more has come."""
        held, self.held = self.held, b""
        if held and held[1] in _CODECS:  # see `_is_likely`
            self.ssrc = held[8:12]
            return [(held, True)]
        return self._bare(held)

    def _is_likely(self, data: bytes) -> bool:
        """Whether a header is likely that may be one: a plain one; or, where nothing is known, one that no audio begins
        with: a loud positive sample, and beside it one of the loudest negative ones."""
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
    """Return whether there would be whole 10 ms blocks of G.711 behind the header."""
    try:
        return len(unpack(data).payload) % _BLOCK_BYTES == 0
    except Malformed:
        return False


def _follows(data: bytes, before: bytes) -> bool:
    """Return whether a packet comes after another one of the same source. Its number may be the same, but not all of
    it."""
    if source_of(before) != source_of(data) or data == before:
        return False
    ahead = int.from_bytes(data[2:4], "big") - int.from_bytes(before[2:4], "big")
    return data[1] in _RTCP or ahead % 0x10000 <= _DROPOUT_MAX
