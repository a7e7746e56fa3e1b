from __future__ import annotations

import math
import struct
import subprocess
import sys
from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio import g711
from patchbay.audio.media_format import MediaFormat
from patchbay.audio.transcode import AT_ONCE_S, FASTEST, PAYLOAD_MAX_BYTES, Transcoder, UnknownCodec

TONE_HZ = 500
SILENCE = b"\xff" * 160


class Counted:
    """A transcoder, and how many payloads it could not decode."""

    def __init__(self, media_format: MediaFormat, *, big_endian: bool = False) -> None:
        self.undecodable = 0
        self._to_ulaw = Transcoder.for_format(media_format, self._count, big_endian=big_endian).to_ulaw

    def to_ulaw(self, payload: bytes, now: float = 0.0) -> bytes:
        return self._to_ulaw(payload, now)

    def _count(self) -> None:
        self.undecodable += 1


def tone(rate: int, seconds: float = 1.0, channels: int = 1, order: str = "<") -> bytes:
    samples = [
        round(12000 * math.sin(2 * math.pi * TONE_HZ * n / rate))
        for n in range(round(rate * seconds))
        for _ in range(channels)
    ]
    return struct.pack(f"{order}{len(samples)}h", *samples)


def strength(ulaw: bytes) -> float:
    """The tone's share of all energy, after the codec's first 100 ms."""
    samples = [g711.ULAW_TO_LINEAR[code] for code in ulaw[800:]]
    angles = [2 * math.pi * TONE_HZ * n / 8000 for n in range(len(samples))]
    real = sum(x * math.cos(a) for x, a in zip(samples, angles, strict=True))
    imaginary = sum(x * math.sin(a) for x, a in zip(samples, angles, strict=True))
    return 2 * (real**2 + imaginary**2) / len(samples) / sum(x * x for x in samples)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def encoded(codec: str, rate: int) -> list[bytes]:
    """The tone as payloads of 20 ms."""
    encoder: Any = av.AudioCodecContext.create(codec, "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", "s16"
    encoder.time_base = Fraction(1, rate)
    payloads = []
    for piece in pieces(tone(rate), rate // 50 * 2):
        frame = av.AudioFrame(format="s16", layout="mono", samples=rate // 50, align=1)
        frame.sample_rate = rate
        frame.planes[0].update(piece)
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    return payloads


def test_pcmu_is_left_as_it_is() -> None:
    payload = bytes(range(256))
    assert Transcoder.for_format(MediaFormat()).to_ulaw(payload, 0.0) is payload


def test_pcma_is_translated() -> None:
    payload = bytes(range(256))
    transcoder = Counted(MediaFormat("PCMA"))
    assert transcoder.to_ulaw(payload) == g711.alaw_to_ulaw(payload)


@pytest.mark.parametrize("big_endian", [False, True])
def test_l16_at_8_khz_is_exact(big_endian: bool) -> None:
    transcoder = Counted(MediaFormat("L16", 8000), big_endian=big_endian)
    given_tone = tone(8000, order=">" if big_endian else "<")
    assert transcoder.to_ulaw(given_tone) == g711.encode_ulaw(tone(8000))


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (24000, 1), (48000, 2), (8000, 2), (22050, 1), (44100, 1)])
@pytest.mark.parametrize("big_endian", [False, True])
def test_l16_of_any_rate_is_resampled(rate: int, channels: int, big_endian: bool) -> None:
    transcoder = Counted(MediaFormat("L16", rate, channels), big_endian=big_endian)
    given_tone = tone(rate, channels=channels, order=">" if big_endian else "<")
    ulaw = b"".join(map(transcoder.to_ulaw, pieces(given_tone, rate // 50 * 2 * channels)))
    assert abs(len(ulaw) - 8000) <= 40
    assert strength(ulaw) > 0.99
    assert transcoder.undecodable == 0


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
def test_g711_of_another_rate_is_resampled(encoding: str) -> None:
    encode = g711.encode_ulaw if encoding == "PCMU" else g711.encode_alaw
    transcoder = Counted(MediaFormat(encoding, 16000))
    ulaw = b"".join(map(transcoder.to_ulaw, pieces(encode(tone(16000)), 320)))
    assert strength(ulaw) > 0.99


@pytest.mark.parametrize(("encoding", "codec", "rate"), [("G722", "g722", 16000), ("OPUS", "libopus", 16000)])
def test_wide_band_codecs(encoding: str, codec: str, rate: int) -> None:
    payloads = encoded(codec, rate)
    transcoder = Counted(MediaFormat(encoding, rate))
    ulaw = b"".join(map(transcoder.to_ulaw, payloads))
    assert abs(len(ulaw) - 160 * len(payloads)) <= 200
    assert strength(ulaw) > 0.98
    assert transcoder.undecodable == 0


@pytest.mark.parametrize("payload", [b"\xf0\x44" + bytes(60), b"\xf4\x40" + bytes(59)])
def test_amr_wb_of_both_layouts(payload: bytes) -> None:
    transcoder = Counted(MediaFormat("AMR-WB", 16000))
    ulaw = b"".join(transcoder.to_ulaw(payload) for _ in range(10))
    assert 1500 < len(ulaw) <= 1600
    assert transcoder.undecodable == 0


@pytest.mark.parametrize(
    ("media_format", "payload"),
    [
        (MediaFormat("L16", 8000), b"\0" * 321),
        (MediaFormat("L16", 16000, 2), b"\0" * 322),
        (MediaFormat("AMR-WB", 16000), b"\xf0\x44"),
        (MediaFormat("OPUS", 48000), b"\xff" * 3),
        (MediaFormat("AMR-WB", 16000), b"\xff" * 40_000),
        (MediaFormat("AMR-WB", 16000), b"\xff" * 3000),
        (MediaFormat("L16", 8000), bytes(PAYLOAD_MAX_BYTES + 2)),
        (MediaFormat("PCMA"), bytes(PAYLOAD_MAX_BYTES + 1)),
    ],
)
def test_what_cannot_be_decoded_is_silence_and_is_counted(media_format: MediaFormat, payload: bytes) -> None:
    transcoder = Counted(media_format)
    assert [transcoder.to_ulaw(payload) for _ in range(3)] == [SILENCE] * 3
    assert transcoder.undecodable == 3


@pytest.mark.parametrize("payload", [b"\xf0\x7c", b"\xf7\xc0", b"\xf0\x74", b"\xf0\x4c" + bytes(5)])
def test_a_frame_without_speech_is_silence(payload: bytes) -> None:
    """AMR-WB's NO_DATA, SPEECH_LOST and SID, in a payload of their own, and between others."""
    transcoder = Counted(MediaFormat("AMR-WB", 16000))
    assert transcoder.to_ulaw(payload) == SILENCE
    speech = b"\x44" + bytes(60)
    headers, bodies = b"\xf0" + b"\xc4\xfc\x44", speech[1:] * 2
    assert 440 < len(transcoder.to_ulaw(headers + bodies)) <= 480
    assert transcoder.undecodable == 0


def test_a_codec_that_nobody_knows() -> None:
    with pytest.raises(UnknownCodec, match="SPEEX"):
        Transcoder.for_format(MediaFormat("SPEEX"))


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA", "L16", "G722", "OPUS", "AMR-WB"])
def test_an_empty_payload_is_no_error(encoding: str) -> None:
    transcoder = Counted(MediaFormat(encoding, 16000))
    assert transcoder.to_ulaw(b"") == SILENCE
    assert transcoder.undecodable == 0


@given(
    st.sampled_from(["PCMU", "PCMA", "L16", "G722", "OPUS", "AMR-WB"]),
    st.sampled_from([8000, 16000, 48000]),
    st.sampled_from([1, 2]),
    st.lists(st.binary(max_size=200), max_size=4),
)
def test_any_bytes_of_any_format(encoding: str, rate: int, channels: int, payloads: list[bytes]) -> None:
    transcoder = Counted(MediaFormat(encoding, rate, channels))
    for payload in payloads:
        assert transcoder.to_ulaw(payload)
    assert transcoder.undecodable <= len(payloads)


@pytest.mark.slow
def test_calls_in_g711_do_not_pay_for_the_library() -> None:
    program = (
        "import sys; from patchbay.audio.transcode import Transcoder as T;"
        "from patchbay.audio.media_format import MediaFormat as F;"
        "[T.for_format(F(n, 8000)).to_ulaw(bytes(2), 0.0) for n in ('PCMU', 'PCMA', 'L16')];"
        "sys.exit('av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("rate", [8000, 16000])
def test_audio_that_comes_too_fast_is_silence(rate: int) -> None:
    """Where it costs: some seconds at once are made, and then as much as may be spoken meanwhile; a lawful stream never
    meets it."""
    transcoder = Counted(MediaFormat("L16", rate))
    second = tone(rate)
    made = [transcoder.to_ulaw(second[:16_000], 0.0) for _ in range(100)]
    if rate == 8000:
        assert transcoder.undecodable == 0
        return
    loud = sum(strength(ulaw) > 0.9 for ulaw in made if len(set(ulaw)) > 1)
    assert AT_ONCE_S <= loud * 0.5 / FASTEST <= AT_ONCE_S + 1
    assert transcoder.undecodable == 100 - loud
    before = transcoder.undecodable
    for tick in range(500):  # 10 s as it is spoken
        transcoder.to_ulaw(second[:640], 10.0 + tick * 0.02)
    assert transcoder.undecodable == before


def test_what_fails_in_the_end_has_cost_as_much() -> None:
    """Many good frames and a bad one, again and again."""
    transcoder = Counted(MediaFormat("AMR-WB", 16000))
    decoded: list[bytes] = []
    decode = transcoder._to_ulaw.__self__._decode  # type: ignore[attr-defined]

    def count(payload: bytes) -> bytes:
        decoded.append(payload)
        decode(payload)
        raise ValueError

    transcoder._to_ulaw.__self__._decode = count  # type: ignore[attr-defined]
    payload = b"\xf0" + b"\xc4" * 49 + b"\x44" + bytes(60 * 50)
    for _ in range(100):
        transcoder.to_ulaw(payload)
    assert 0 < len(decoded) < 20
    assert transcoder.undecodable == 100
