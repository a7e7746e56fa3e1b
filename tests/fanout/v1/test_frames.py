"""A call's audio as `patchbay.v1` has it: codecs, numbers, and what is remembered of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.fanout.calls.encoder import IngestClock
from actors.fanout.peaks import KEPT, PeakEncoder, step_of
from actors.fanout.v1.frames import REMEMBERED, STEP_DOWN_AFTER, Numbering, V1Encoder
from patchbay.audio.media_format import MediaFormat
from patchbay.audio.transcode import UnknownCodec
from patchbay.protocol.batches import AUDIO, NO_NUMBER, NO_TIMESTAMP, SAID_BEFORE, Entry
from patchbay.protocol.v1 import frames as v1
from tests.fakes.listening import messages

if TYPE_CHECKING:
    from collections.abc import Callable

STREAM = 1_795_000_000_000_000_000


def piece(payload: bytes, chunk: int = 3, *, track: int = 0, flags: int = 1, timestamp: int = 60) -> Entry:
    return Entry(AUDIO, track, flags, chunk, chunk, 9, len(payload), timestamp, STREAM, bytes(16), payload)


def encoder(media_format: MediaFormat | None = None) -> V1Encoder:
    return V1Encoder(media_format or MediaFormat(), STREAM, IngestClock())


def headers(frames: bytes) -> list[tuple[int, ...]]:
    return [v1.HEADER.unpack_from(message) for _, message in messages(frames)]


def test_a_frame() -> None:
    [header] = headers(encoder().encode(piece(b"x" * 160, 7, track=1), 0))
    assert header == (1, 1, 0, 0, 1, 0, v1.stream_number(STREAM), 7, 60)


def test_without_a_time_of_its_own() -> None:
    """Media time is reckoned from the number."""
    [header] = headers(encoder().encode(piece(b"x", 7, timestamp=NO_TIMESTAMP), 0))
    assert header[-1] == 140


def test_what_was_said_before_is_flagged() -> None:
    """By fan-out, which repeats it to one that joins, or by ingest, which kept it while nobody heard."""
    making = encoder()
    assert headers(making.replay([piece(b"x")], 0))[0][3] == 1
    assert headers(making.encode(piece(b"x"), 0))[0][3] == 0
    assert headers(making.encode(piece(b"x", flags=1 | SAID_BEFORE), 0))[0][3] == 1


@pytest.mark.parametrize("making", [encoder, PeakEncoder])
def test_a_codec_that_must_be_decoded_first(making: Callable[[MediaFormat], object]) -> None:
    """Is not sent, or measured, as if it were another."""
    with pytest.raises(UnknownCodec):
        making(MediaFormat("L16", 8000, 2) if making is encoder else MediaFormat("G722"))


@given(st.integers(1, 5000), st.integers(1, 9))
def test_long_frames_are_cut(size: int, chunk: int) -> None:
    """At 100 ms, and numbered on."""
    making = encoder()
    got = list(messages(making.encode(piece(bytes(size), chunk), 0) + making.encode(piece(bytes(size), chunk + 1), 0)))
    assert all(20 < len(message) <= 820 for _, message in got)
    sequences = [v1.HEADER.unpack_from(message)[7] for _, message in got]
    assert sequences == list(range(sequences[0], sequences[0] + len(got)))
    assert sum(len(message) - 20 for _, message in got) == 2 * size


def test_a_shared_numbering() -> None:
    """Is halved, as soon as ingest knows that it is one, and stays so while a new ingest learns it."""
    numbering = Numbering()
    assert [numbering.sequence(chunk, 2) for chunk in (1, 3, 5)] == [1, 2, 3]
    assert [numbering.sequence(chunk, 1) for chunk in (7, 9)] == [4, 5]
    assert numbering.sequence(11, 2) == 6
    lower = [numbering.sequence(100 + index, 1) for index in range(STEP_DOWN_AFTER)]
    assert lower[-1] == 100 + STEP_DOWN_AFTER - 1


def test_frames_without_numbers_are_counted() -> None:
    numbering = Numbering()
    assert [numbering.sequence(NO_NUMBER, 1) for _ in range(3)] == [0, 1, 2]


def test_when_ingest_had_it() -> None:
    """Known for 5 s."""
    clock = IngestClock()
    making = V1Encoder(MediaFormat(), STREAM, clock)
    stream = v1.stream_number(STREAM)
    for chunk in range(1, REMEMBERED + 2):
        clock.time_us = chunk * 10
        making.encode(piece(b"x", chunk), 0)
    assert making.ingest_time_us(stream, 0, REMEMBERED + 1) == (REMEMBERED + 1) * 10
    assert making.ingest_time_us(stream, 0, 1) is None
    assert making.ingest_time_us(stream, 1, 5) is None
    assert making.ingest_time_us(stream + 1, 0, 5) is None


def test_peaks() -> None:
    """The loudest of each step; a silent track has none; nothing piles up."""
    meter = PeakEncoder(MediaFormat())
    quiet, loud = b"\xff" * 160, b"\xff" * 159 + b"\x80"
    for now, payload in ((1.00, quiet), (1.05, loud), (1.25, b"\xa0" * 160)):
        assert meter.encode(piece(payload), now) == b""
    inbound, outbound = meter.peaks(step_of(1.0), step_of(1.35))
    assert inbound[0] == 254  # the loudest that µ-law has is 2 % below full scale
    assert inbound[1] == 0
    assert 0 < inbound[2] < 255
    assert outbound == []
    for index in range(1000):
        meter.encode(piece(loud), index / 5)
    assert all(len(steps) <= KEPT for steps in meter._steps)
    for media_format in (
        MediaFormat("PCMA"),
        MediaFormat("L16", 16_000),
        MediaFormat("L16", 8000, 2),
    ):
        PeakEncoder(media_format).encode(piece(bytes(range(160))), 1)
