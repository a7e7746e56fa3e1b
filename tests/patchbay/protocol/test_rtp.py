"""The audio of packets of any shape, without their headers; and bare audio as it is, however it begins."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.rtp import Depacketizer, NotAudio, is_packet, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

AUDIO = bytes(range(128, 192)) * 40


def packet(
    body: bytes,
    payload_type: int = 0,
    number: int = 4711,
    *,
    marker: bool = False,
    source: int = 0xDEADBEEF,
    sources: int = 0,
    extension: bytes | None = None,
    padding: int = 0,
) -> bytes:
    first = 0x80 | 0x20 * bool(padding) | 0x10 * (extension is not None) | sources
    header = struct.pack("!BBHII", first, marker << 7 | payload_type, number % 65536, 160_000, source) + bytes(
        4 * sources
    )
    if extension is not None:
        header += struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension
    return header + body + (bytes(padding - 1) + bytes([padding]) if padding else b"")


SHAPES: dict[str, dict[str, Any]] = {
    "20 ms": {},
    "a marker": {"marker": True},
    "padding": {"padding": 4},
    "much padding": {"padding": 255},
    "an extension": {"extension": bytes(8)},
    "an empty extension": {"extension": b""},
    "contributing sources": {"sources": 15},
    "all of it": {"marker": True, "padding": 3, "extension": bytes(4), "sources": 2},
}
UNMARKED = [{**shape, "marker": False} for shape in SHAPES.values()]
RTCP = struct.pack("!BBHI", 0x80, 200, 6, 0xDEADBEEF) + bytes(20) + struct.pack("!BBHI", 0x81, 202, 1, 0xDEADBEEF)


def said(messages: Iterable[bytes], *, release: bool = True) -> list[bytes]:
    """The audio that comes out of them."""
    talker = Depacketizer()
    decided = [each for message in messages for each in talker.take(message)]
    if release:
        decided += talker.release()
    audio = []
    for data, is_rtp in decided:
        try:
            audio.append(unpack(data).payload if is_rtp else data)
        except Malformed:
            audio.append(b"")
    return audio


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("payload_type", [0, 8])
@pytest.mark.parametrize("size", [1, 80, 128, 160, 240, 256, 1600])
def test_packets_lose_their_headers(size: int, payload_type: int, shape: dict[str, Any]) -> None:
    """From the first on."""
    bodies = [AUDIO[index : index + size] for index in range(5)]
    packets = [packet(body, payload_type, 65533 + index, **shape) for index, body in enumerate(bodies)]
    first, *_ = packets
    assert is_packet(first)
    assert unpack(first) == (bodies[0], "PCMA" if payload_type else "PCMU")
    if len(first) % 80:  # else the first is taken for bare audio
        assert said(packets) == bodies
    assert said(packets)[1:] == bodies[1:]


@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize("payload_type", [0, 8])
@pytest.mark.parametrize("size", [80, 160, 240, 1600, 48_000])
def test_whole_blocks_are_known_at_once(size: int, payload_type: int, marker: bool) -> None:
    """By a single packet; also when all have the same number, and each another source."""
    body = bytes(size)
    for shape in UNMARKED:
        assert said([packet(body, payload_type, **shape)], release=False) == [body]
    assert said([packet(body, payload_type, marker=marker)], release=False) == [body]
    assert said([packet(body, payload_type)] * 3, release=False) == [body] * 3
    assert said([packet(body, payload_type, source=source) for source in range(3)], release=False) == [body] * 3


def test_a_single_packet_of_another_size() -> None:
    """Nothing follows that would tell; but no audio begins so."""
    for shape in UNMARKED:
        alone = packet(AUDIO[:128], **shape)
        assert said([alone]) == [AUDIO[:128]]
        assert said([alone], release=False) == []


@pytest.mark.parametrize(
    "other",
    [
        packet(b"\x01\x0a\x00\xa0", 101),
        packet(b"\x20" * 11, 13),
        packet(AUDIO[:160], 96),
        packet(AUDIO[:160], 9),
        packet(AUDIO[:33], 3),
        packet(b""),
        packet(b"", padding=8),
        RTCP,
    ],
    ids=["telephone-event", "comfort noise", "dynamic", "G722", "GSM", "empty", "only padding", "RTCP"],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_audio(other: bytes, first: bool) -> None:
    """Is dropped, wherever it comes."""
    with pytest.raises(NotAudio):
        unpack(other)
    audio = [packet(AUDIO[:128], number=4712), packet(AUDIO[:128], number=4713)]
    messages = [other, *audio] if first else [*audio, other]
    assert [each for each in said(messages) if each] == [AUDIO[:128]] * 2


@pytest.mark.parametrize(
    "other",
    [
        packet(AUDIO[:160])[:12] + b"",
        packet(b"", padding=1)[:-1] + b"\x02",
        packet(AUDIO[:20], padding=9)[:-1] + b"\x00",
        packet(AUDIO[:20], padding=9)[:-1] + b"\xff",
        packet(b"", extension=b"")[:-1] + b"\x07",
        packet(b"", sources=3)[:-4],
    ],
    ids=["no audio", "padding over the header", "no padding", "too much padding", "cut extension", "cut sources"],
)
def test_packets_that_are_broken(other: bytes) -> None:
    """Are said to be, where packets are known; nothing of them is played."""
    with pytest.raises(Malformed):
        unpack(other)
    assert said([packet(AUDIO[:160]), other, packet(AUDIO[:160])]) == [AUDIO[:160], b"", AUDIO[:160]]


BARE_BEGINNINGS = [b"\x80\x00", b"\x80\x80", b"\x80\x08", b"\x80\x88", b"\x90\x00", b"\xb0\x45", b"\x80\xc8"]


@pytest.mark.parametrize("begins", BARE_BEGINNINGS)
@pytest.mark.parametrize("size", [1, 80, 100, 160, 172, 252, 763, 1000])
def test_bare_audio_that_begins_like_a_packet(size: int, begins: bytes) -> None:
    """Passes as it is, whatever its length."""
    like = (begins + b"\x55" * 2000)[:size]
    plain = b"\x55" * size
    assert said([plain, like, plain, like, like, plain]) == [plain, like, plain, like, like, plain]
    if size not in (172, 252) or begins[1] not in (0x00, 0x08, 0x80, 0x88):  # which the first message of RTP is
        assert said([like, plain]) == [like, plain]


@given(st.lists(st.integers(1, 400), max_size=12), st.integers(0, 2**32))
def test_loud_audio_in_pieces_of_any_size(sizes: list[int], seed: int) -> None:
    """Passes as it is, in order."""
    source = random.Random(seed)
    pieces = [bytes([0x8F]) + bytes(source.choices(range(0x80, 0xC0), k=size)) for size in sizes]
    assert said(pieces) == pieces


def test_from_one_form_to_the_other() -> None:
    """Bare audio passes at any time. A packet after it is known by its shape, or else the second one is."""
    bare = b"\x55" * 160
    assert said([bare, packet(AUDIO[:160]), bare, packet(AUDIO[:160])]) == [bare, AUDIO[:160], bare, AUDIO[:160]]
    packets = [packet(AUDIO[:128], number=index) for index in range(4)]
    assert said([bare, *packets, bare, *packets]) == [bare, packets[0], *[AUDIO[:128]] * 3, bare, *[AUDIO[:128]] * 4]
    as_long = [packet(AUDIO[:148], number=index) for index in range(4)]
    assert said([bare, *as_long]) == [bare, as_long[0], *[AUDIO[:148]] * 3]


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes(messages: list[bytes]) -> None:
    """Nothing raises but Malformed, and nothing is made up."""
    for audio, message in zip(said(messages), (each for each in messages if each), strict=False):
        assert audio in message or len(audio) <= len(b"".join(messages))


@given(st.lists(st.binary(min_size=1, max_size=60).filter(lambda data: data[0] >> 6 != 2), max_size=8))
def test_what_can_be_no_packet(messages: list[bytes]) -> None:
    assert said(messages, release=False) == messages
