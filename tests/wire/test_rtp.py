from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wire import rtp


def packet(payload_type: int, body: bytes, marker: bool = False) -> bytes:
    return struct.pack("!BBHII", 0x80, marker << 7 | payload_type, 4711, 160_000, 0xDEADBEEF) + body


@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize(("payload_type", "codec"), [(0, "PCMU"), (8, "PCMA")])
@pytest.mark.parametrize("size", [80, 160, 240, 1600])
def test_a_packet_loses_its_header(payload_type: int, codec: str, marker: bool, size: int) -> None:
    body = bytes(range(160)) * 10
    assert rtp.strip(packet(payload_type, body[:size], marker)) == (body[:size], codec)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80",
        b"\x80\x00",
        packet(0, b""),
        packet(0, b"\xff" * 159),
        packet(3, b"\xff" * 160),
        packet(9, b"\xff" * 160),
        b"\x90" + packet(0, b"\xff" * 160)[1:],
        b"\xff" * 172,
    ],
)
def test_anything_else_passes_as_it_is(payload: bytes) -> None:
    assert rtp.strip(payload) == (payload, None)


@given(st.integers(0, 20), st.sampled_from([b"\x80\x00", b"\x80\x80", b"\x80\x08", b"\x80\x88"]))
def test_a_bare_payload_that_begins_like_a_header_is_not_one(blocks: int, start: bytes) -> None:
    bare = (start + b"\x55" * 80 * blocks)[: 80 * blocks]
    assert rtp.strip(bare) == (bare, None)


@given(st.binary(max_size=400))
def test_never_raises_and_never_takes_more_than_a_header(payload: bytes) -> None:
    body, codec = rtp.strip(payload)
    assert len(payload) - len(body) == (0 if codec is None else 12)
    assert payload.endswith(body)
