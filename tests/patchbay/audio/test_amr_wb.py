from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio import amr_wb

BITS = (132, 177, 253, 285, 317, 365, 397, 461, 477, 40)
Frame = tuple[int, int, int]  # type, quality bit, speech bits

FRAMES = st.integers(0, 9).flatmap(
    lambda kind: st.tuples(st.just(kind), st.integers(0, 1), st.integers(0, (1 << BITS[kind]) - 1))
)


def stored(kind: int, quality: int, speech: int) -> bytes:
    """As decoders read it, when it is one of speech."""
    size = -(-BITS[kind] // 8)
    return bytes([kind << 3 | quality << 2]) + (speech << size * 8 - BITS[kind]).to_bytes(size, "big")


def wanted(kind: int, quality: int, speech: int) -> bytes | None:
    return None if kind in amr_wb.NO_SPEECH else stored(kind, quality, speech)


def octet_aligned(frames: list[Frame]) -> bytes:
    last = len(frames) - 1
    headers = bytes((n < last) << 7 | kind << 3 | q << 2 for n, (kind, q, _) in enumerate(frames))
    return b"\xf0" + headers + b"".join(stored(*frame)[1:] for frame in frames)


def bandwidth_efficient(frames: list[Frame]) -> bytes:
    last = len(frames) - 1
    bits = "1111" + "".join(f"{n < last:b}{kind:04b}{q:b}" for n, (kind, q, _) in enumerate(frames))
    bits += "".join(f"{speech:0{BITS[kind]}b}" for kind, _, speech in frames)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@given(st.lists(FRAMES, min_size=1, max_size=4))
def test_octet_aligned(frames: list[Frame]) -> None:
    assert amr_wb.unpack(octet_aligned(frames)) == [wanted(*frame) for frame in frames]


@given(st.lists(FRAMES, min_size=1, max_size=4))
def test_bandwidth_efficient(frames: list[Frame]) -> None:
    assert amr_wb.unpack(bandwidth_efficient(frames)) == [wanted(*frame) for frame in frames]


@pytest.mark.parametrize("payload", [b"\xf0\x7c", b"\xf7\xc0", b"\xf0\x74"])
def test_frames_that_hold_nothing(payload: bytes) -> None:
    assert amr_wb.unpack(payload) == [None]


@pytest.mark.parametrize("size", [1, 2])
def test_no_more_than_a_second(size: int) -> None:
    """Whatever is claimed."""
    headers = bytes([0xFC] * (amr_wb.FRAMES_MAX * size - 1) + [0x7C])
    if size == 1:
        assert amr_wb.unpack(b"\xf0" + headers) == [None] * amr_wb.FRAMES_MAX
    else:
        with pytest.raises(ValueError, match="not AMR-WB"):
            amr_wb.unpack(b"\xf0" + headers)


@pytest.mark.parametrize(
    "payload", [b"", b"\xf0", b"\xf0\x54", b"\xf0\x44" + bytes(59), b"\xf4\x40" + bytes(70), b"\xff\xff\xff", b"\xf0\xfc\xfc"]
)  # fmt: skip
def test_neither_layout(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not AMR-WB"):
        amr_wb.unpack(payload)


@given(st.binary(max_size=100))
def test_any_bytes(payload: bytes) -> None:
    try:
        found = amr_wb.unpack(payload)
    except ValueError:
        return
    assert sum(len(frame or b"") for frame in found) <= len(payload) + len(found)
