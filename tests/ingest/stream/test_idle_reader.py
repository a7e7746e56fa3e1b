"""Counting without decoding: whatever is no plain media frame is left, and what is kept is what came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ingest.stream.idle_reader import IdleReader
from patchbay.websocket.frames import MEDIUM_HEADER_BYTES
from tests.fakes.telnyx import media, start, stop
from tests.fakes.websockets import BINARY, PING, masked

others = st.sampled_from(
    [
        masked(stop()),
        masked(start()),
        masked(b'{"event":"mark","mark":{"name":"' + b"x" * 200 + b'"}}'),
        masked(b'{"event":"connected","version":"1.0.0"' + b" " * 200 + b"}"),
        masked(b"", PING),
        masked(media(1), BINARY),
        masked(media(1), 0x01),
        masked(b"short"),
        masked(media(1) + b" " * 70_000),
    ]
)


@given(st.integers(0, 12), others | st.just(b""), st.integers(0, 300), st.integers(0, 20))
def test_takes_the_media_frames_at_the_beginning(count: int, other: bytes, cut: int, begin: int) -> None:
    """And stops at the first that is none, or is not whole."""
    reader = IdleReader(20, 0)
    frames = [masked(media(chunk)) for chunk in range(count)]
    data = b"?" * begin + b"".join(frames) + other + masked(media(99))[:cut]
    inbound, outbound, end = reader.take(memoryview(data), begin, len(data), 1)
    assert (inbound, outbound, end) == (count, 0, begin + sum(map(len, frames)))
    assert list(reader.replay(1)) == [media(chunk) for chunk in range(count)]


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [(["inbound"], (20, 0)), (["outbound"], (0, 20)), (["inbound", "outbound"], (10, 10))],
)
def test_how_the_count_falls_on_the_tracks(tracks: list[str], expected: tuple[int, int]) -> None:
    """Told from a few frames."""
    reader, inbound, outbound = IdleReader(20, 0), 0, 0
    for reading in range(5):
        data = b"".join(masked(media(reading * 4 + index, track=tracks[index % len(tracks)])) for index in range(4))
        got = reader.take(memoryview(data), 0, len(data), 1)
        inbound, outbound = inbound + got[0], outbound + got[1]
    assert (inbound, outbound) == expected


@given(st.integers(0, 40), st.integers(1, 2), st.integers(0, 45), st.sampled_from([*range(12)]), st.integers(1, 255))
def test_one_wrong_byte_in_many_alike_is_seen(count: int, tracks: int, wrong: int, at: int, flip: int) -> None:
    """Many frames are looked at together, and yet each is."""
    frames = [masked(media(1000 + chunk, track=("inbound", "outbound")[chunk % tracks])) for chunk in range(count)]
    spoilt = wrong < count
    if spoilt:
        at = at if at < 2 else MEDIUM_HEADER_BYTES + 10 + at % 2
        frame = bytearray(frames[wrong])
        frame[at] ^= flip
        frames[wrong] = bytes(frame)
    data = b"".join(frames)
    inbound, outbound, end = IdleReader(1, 0).take(memoryview(data), 0, len(data), 1)
    good = frames[:wrong] if spoilt else frames
    assert (inbound + outbound, end) == (len(good), sum(map(len, good)))


@pytest.mark.parametrize("tracks", [("inbound",), ("inbound", "outbound")])
def test_only_so_many_messages_of_a_track_are_kept(tracks: tuple[str, ...]) -> None:
    """The last ones, wherever readings begin."""
    reader, said = IdleReader(4, 0), []
    for reading in range(5):
        messages = [media(reading * 3 + index, track=track) for index in range(3) for track in tracks]
        data = b"".join(map(masked, messages))
        reader.take(memoryview(data), 0, len(data), 1)
        said += messages
    assert list(reader.replay(1)) == said[-4 * len(tracks) :]


def test_everything_of_the_first_moments_is_kept() -> None:
    """It may have come together, faster than it was said; later it is over with that."""
    reader = IdleReader(2, 10.0)
    said = [media(chunk) for chunk in range(50)]
    data = b"".join(map(masked, said))
    reader.take(memoryview(data), 0, len(data), 10.1)
    assert list(reader.replay(10.2)) == said
    assert list(reader.replay(11.0)) == said[-2:]
