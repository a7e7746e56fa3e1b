from __future__ import annotations

import math
import struct
import warnings
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio import g711

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    audioop: Any = __import__("audioop")  # of the library, or audioop-lts from Python 3.13 on

ALL_SAMPLES = range(-32768, 32768)
ALL_CODES = bytes(range(256))


def pcm(samples: Any) -> bytes:
    return struct.pack(f"<{len(samples)}h", *samples)


def floats(*samples: float) -> bytes:
    return struct.pack(f"<{len(samples)}f", *samples)


def snr_db(signal: list[float], codes: bytes, table: tuple[int, ...]) -> float:
    noise = sum((x - table[code] / 32768) ** 2 for x, code in zip(signal, codes, strict=True))
    return 10 * math.log10(sum(x * x for x in signal) / noise)


def test_decoding_agrees_with_audioop() -> None:
    assert g711.decode_ulaw(ALL_CODES) == audioop.ulaw2lin(ALL_CODES, 2)
    assert g711.decode_alaw(ALL_CODES) == audioop.alaw2lin(ALL_CODES, 2)
    assert list(g711.ULAW_TO_LINEAR) == list(array("h", g711.decode_ulaw(ALL_CODES)))
    assert list(g711.ALAW_TO_LINEAR) == list(array("h", g711.decode_alaw(ALL_CODES)))


def test_alaw_encoding_agrees_with_audioop_for_every_sample() -> None:
    samples = pcm(ALL_SAMPLES)
    assert g711.encode_alaw(samples) == audioop.lin2alaw(samples, 2)


def test_ulaw_encoding_agrees_with_audioop_for_every_sample_that_is_not_negative() -> None:
    samples = pcm(range(32768))
    assert g711.encode_ulaw(samples) == audioop.lin2ulaw(samples, 2)


def test_negative_ulaw_takes_the_ones_complement_where_audioop_rounds_away_from_zero() -> None:
    ours = g711.encode_ulaw(pcm(range(-32768, -4)))
    assert ours == audioop.lin2ulaw(pcm(range(-32764, 0)), 2)
    assert g711.encode_ulaw(pcm(range(-4, 0))) == b"\x7f" * 4


def itu_g191_ulaw_compress(sample: int) -> int:
    """The reference code of ITU-T G.191, line by line."""
    absolute = ((~sample) >> 2) + 33 if sample < 0 else (sample >> 2) + 33
    absolute = min(absolute, 0x1FFF)
    rest, segment = absolute >> 6, 1
    while rest:
        segment += 1
        rest >>= 1
    code = (8 - segment) << 4 | 0xF - (absolute >> segment & 0xF)
    return code | 0x80 if sample >= 0 else code


def itu_g191_alaw_compress(sample: int) -> int:
    """The reference code of ITU-T G.191, line by line."""
    ix = (~sample) >> 4 if sample < 0 else sample >> 4
    if ix > 15:
        exponent = 1
        while ix > 16 + 15:
            ix >>= 1
            exponent += 1
        ix = ix - 16 + (exponent << 4)
    return (ix | 0x80 if sample >= 0 else ix) ^ 0x55


def test_encoding_is_the_itu_reference_for_every_sample() -> None:
    samples = pcm(ALL_SAMPLES)
    assert g711.encode_ulaw(samples) == bytes(map(itu_g191_ulaw_compress, ALL_SAMPLES))
    assert g711.encode_alaw(samples) == bytes(map(itu_g191_alaw_compress, ALL_SAMPLES))


def test_every_code_survives_decoding_and_encoding() -> None:
    twice = g711.encode_ulaw(g711.decode_ulaw(ALL_CODES))
    assert twice == ALL_CODES.replace(b"\x7f", b"\xff")  # negative zero has no sample of its own
    assert g711.encode_alaw(g711.decode_alaw(ALL_CODES)) == ALL_CODES


def test_conversion_between_the_laws_agrees_with_audioop() -> None:
    assert g711.ulaw_to_alaw(ALL_CODES) == audioop.lin2alaw(audioop.ulaw2lin(ALL_CODES, 2), 2)
    assert g711.alaw_to_ulaw(ALL_CODES) == audioop.lin2ulaw(audioop.alaw2lin(ALL_CODES, 2), 2)


def test_odd_bytes_are_refused() -> None:
    for encode in (g711.encode_ulaw, g711.encode_alaw):
        with pytest.raises(ValueError, match="multiple of item size"):
            encode(b"\0")
    with pytest.raises(ValueError, match="multiple of item size"):
        g711.encode_float32(b"\0" * 6, "PCMU")


def test_a_big_endian_machine_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "big")
    swapped = g711.encode_alaw(b"\x12\x34")
    monkeypatch.undo()
    assert swapped == g711.encode_alaw(b"\x34\x12")


def test_float32_is_the_same_as_linear_for_every_sample() -> None:
    samples = floats(*(sample / 32768 for sample in ALL_SAMPLES))
    assert g711.encode_float32(samples, "PCMU") == g711.encode_ulaw(pcm(ALL_SAMPLES))
    assert g711.encode_float32(samples, "PCMA") == g711.encode_alaw(pcm(ALL_SAMPLES))


def test_float32_out_of_range_is_clamped_and_nan_is_silence() -> None:
    top, bottom = g711.encode_ulaw(pcm([32767])), g711.encode_ulaw(pcm([-32768]))
    for loud in (1.0, 1.5, 2.0, 3e38, math.inf):
        assert g711.encode_float32(floats(loud), "PCMU") == top
        assert g711.encode_float32(floats(-loud, 0.0), "PCMU") == bottom + g711.SILENCE_ULAW
    assert g711.encode_float32(floats(math.nan, 0.5), "PCMU")[:1] == g711.SILENCE_ULAW
    assert g711.encode_float32(floats(math.nan), "PCMA") == g711.SILENCE_ALAW
    assert g711.encode_float32(b"", "PCMA") == b""


@given(st.binary(max_size=400))
def test_any_float32_is_encoded(data: bytes) -> None:
    data = data[: len(data) // 4 * 4]
    assert len(g711.encode_float32(data, "PCMU")) == len(data) // 4
    assert len(g711.encode_float32(data, "PCMA")) == len(data) // 4


@pytest.mark.parametrize("level", [0.05, 0.1, 0.2, 0.4, 0.9])
def test_signal_to_noise_of_speech_level_float32(level: float) -> None:
    signal = [level * math.sin(2 * math.pi * 440.3 * n / 8000) for n in range(8000)]
    ulaw = g711.encode_float32(floats(*signal), "PCMU")
    alaw = g711.encode_float32(floats(*signal), "PCMA")
    assert snr_db(signal, ulaw, g711.ULAW_TO_LINEAR) > 35
    assert snr_db(signal, alaw, g711.ALAW_TO_LINEAR) > 35


def test_silence() -> None:
    assert g711.SILENCE == {"PCMU": b"\xff", "PCMA": b"\xd5"}
    for codec, encode in (("PCMU", g711.encode_ulaw), ("PCMA", g711.encode_alaw)):
        assert g711.is_silent(b"", codec)  # type: ignore[arg-type]
        assert g711.is_silent(encode(pcm([0, 200, -200, 1, -1])), codec)  # type: ignore[arg-type]
        assert not g711.is_silent(encode(pcm([0] * 159 + [400])), codec)  # type: ignore[arg-type]
        assert not g711.is_silent(encode(pcm([-400])), codec)  # type: ignore[arg-type]
    assert g711.is_silent(g711.SILENCE_ALAW * 160, "PCMA")
    assert g711.is_silent(g711.ulaw_to_alaw(g711.SILENCE_ULAW * 160), "PCMA")


def test_mixing_adds_and_saturates() -> None:
    quiet, loud = g711.encode_ulaw(pcm([1000, -1000])), g711.encode_ulaw(pcm([32000, -32000]))
    assert g711.mix_ulaw(loud, loud) == g711.encode_ulaw(pcm([32767, -32768]))
    assert g711.mix_ulaw(quiet, b"\xff\xff") == quiet
    assert g711.mix_ulaw(quiet, quiet[::-1]) == b"\xff\xff"
    assert g711.mix_ulaw(b"", b"") == b""
    with pytest.raises(ValueError, match="cannot mix 1 bytes with 2"):
        g711.mix_ulaw(b"\0", b"\0\0")


@given(st.binary(max_size=200), st.randoms(use_true_random=False))
def test_mixing_is_the_code_of_the_sum(a: bytes, random: Any) -> None:
    b = random.randbytes(len(a))
    table = g711.ULAW_TO_LINEAR
    sums = [max(-32768, min(32767, table[x] + table[y])) for x, y in zip(a, b, strict=True)]
    assert g711.mix_ulaw(a, b) == g711.encode_ulaw(pcm(sums)) == g711.mix_ulaw(b, a)
