from __future__ import annotations

import math
import struct
import wave
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.clips import SHIPPED_CLIP, Clip, ClipError, Echo, Silence, clip_of, load_clip, read_pcm, total_ticks
from simulator.codecs import BY_NAME, G722, L16, PCMA, PCMU, Codec, Decoder
from tests.simulator.helpers import numbered_clip

if TYPE_CHECKING:
    from pathlib import Path


def write_wav(path: Path, rate: int, width: int, channels: int, seconds: float = 0.5) -> None:
    """A tone of 400 Hz at half of full scale in every channel."""
    data = bytearray()
    for n in range(int(rate * seconds)):
        value = 0.5 * math.sin(2 * math.pi * 400 * n / rate)
        sample = (
            bytes([round(128 + 127 * value)])
            if width == 1
            else int(value * 2 ** (8 * width - 1)).to_bytes(width, "little", signed=True)
        )
        data += sample * channels
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.setframerate(rate)
        wav.writeframes(bytes(data))


def loudness(pcm: bytes) -> float:
    """Root mean square of the middle, as a share of full scale."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return math.sqrt(sum(sample**2 for sample in middle) / len(middle)) / 32768


@pytest.mark.parametrize(
    ("rate", "width", "channels"),
    [(8000, 2, 1), (8000, 1, 1), (44100, 2, 2), (48000, 3, 2), (16000, 4, 1), (11025, 2, 1)],
)
@pytest.mark.parametrize("codec", [PCMU, L16])
def test_reads_any_rate_width_and_number_of_channels(
    tmp_path: Path, rate: int, width: int, channels: int, codec: Codec
) -> None:
    path = tmp_path / "tone.wav"
    write_wav(path, rate, width, channels)
    clip = load_clip(path, codec)
    assert len(clip.frames) in (25, 26)
    assert {len(frame) for frame in clip.frames} == {codec.frame_bytes}
    assert loudness(codec.decode(clip.payload)) == pytest.approx(0.5 / math.sqrt(2), rel=0.05)


def test_the_shipped_clip_is_30_s_of_speech_and_not_resampled() -> None:
    with wave.open(str(SHIPPED_CLIP)) as wav:
        assert read_pcm(SHIPPED_CLIP, 8000) == wav.readframes(wav.getnframes())
    clip = load_clip(SHIPPED_CLIP, PCMU)
    assert 30 < len(clip.frames) / 50 < 31


def test_files_that_are_no_audio_are_named(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    empty = tmp_path / "empty.wav"
    write_wav(empty, 8000, 2, 1, seconds=0)
    for path in (text, empty, tmp_path / "missing.wav", tmp_path):
        with pytest.raises(ClipError, match=str(path)):
            load_clip(path, PCMU)


def test_g711_is_the_itu_s() -> None:
    def pcm(codec: Codec, byte: int) -> int:
        found: int = struct.unpack("<h", codec.decode(bytes([byte])))[0]
        return found

    assert [pcm(PCMU, byte) for byte in (0xFF, 0x7F, 0x80, 0x00)] == [0, 0, 32124, -32124]
    assert [pcm(PCMA, byte) for byte in (0xD5, 0x55, 0xAA, 0x2A)] == [8, -8, 32256, -32256]
    assert PCMU.encode(bytes(320)) == PCMU.silence(160)
    for codec in (PCMU, PCMA):
        everything = bytes(range(256))
        again = codec.decode(codec.encode(codec.decode(everything)))
        assert again == codec.decode(everything)


@pytest.mark.parametrize("codec", BY_NAME.values())
def test_a_second_is_as_many_bytes_as_it_says(codec: Codec) -> None:
    coded = codec.encode(bytes(2 * codec.audio_rate))
    assert len(coded) == codec.bytes_per_s == 50 * codec.frame_bytes
    assert len(codec.decode(coded)) == 2 * codec.audio_rate
    assert loudness(codec.decode(codec.silence(codec.bytes_per_s))) < 0.002


def test_decoding_piece_by_piece_is_decoding_the_whole() -> None:
    coded = G722.encode(read_pcm(SHIPPED_CLIP, 16000)[:64000])
    decoder = Decoder(G722)
    pieces = b"".join(decoder.decode(coded[start : start + 100]) for start in range(0, len(coded), 100))
    assert pieces == G722.decode(coded)
    assert decoder.decode(b"") == PCMU.encode(b"") == b""


@given(st.binary(min_size=1, max_size=2000))
def test_cutting_into_frames_adds_silence_only(payload: bytes) -> None:
    clip = clip_of(payload, PCMA)
    assert clip.payload[: len(payload)] == payload
    assert set(clip.payload[len(payload) :]) <= {0xD5}
    assert len(clip.payload) % 160 == 0
    assert len(clip.payload) - len(payload) < 160


def test_clips_end_loop_and_shift() -> None:
    clip = numbered_clip(3)
    assert [clip.frame(tick) for tick in range(4)] == [*clip.frames, PCMU.silence(160)]
    assert [clip.looped().frame(tick) for tick in range(4)] == [*clip.frames, clip.frames[0]]
    assert clip.shifted(1).frames == (*clip.frames[1:], clip.frames[0])
    assert clip.shifted(4) == clip.shifted(1)
    assert (clip.length, clip.looped().length) == (3, None)


def test_a_call_is_as_long_as_its_longest_clip_or_as_asked() -> None:
    clip: Clip = numbered_clip(100)
    assert total_ticks([clip, numbered_clip(50), Silence(PCMU)], None) == 100
    assert total_ticks([clip], 1.0) == 50
    assert total_ticks([clip], 5.0) == 100
    assert total_ticks([clip.looped()], None) is None
    assert total_ticks([clip.looped()], 5.0) == 250


def test_an_echo_gives_back_what_was_played_and_is_bounded() -> None:
    echo = Echo(PCMU)
    assert echo.frame(0) == PCMU.silence(160)
    echo.feed(b"\x01" * 100)
    assert echo.frame(1) == PCMU.silence(160)
    echo.feed(b"\x02" * 100)
    assert echo.frame(2) == b"\x01" * 100 + b"\x02" * 60
    echo.feed(bytes(8000) * 61)
    echo.feed(b"\x03" * 160)
    frames = [echo.frame(tick) for tick in range(60 * 50)]
    assert frames[-1] == b"\x03" * 160
