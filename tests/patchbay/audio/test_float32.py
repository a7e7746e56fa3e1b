"""Audio in Float32 is never refused; bytes of another form always are, whatever is said in them."""

from __future__ import annotations

import math
import random
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio.float32 import is_plausible
from patchbay.audio.g711 import encode_alaw, encode_ulaw
from simulator.clips import SHIPPED_CLIP, load_clip
from simulator.codecs import PCMU

SPEECH = array("h", PCMU.decode(load_clip(SHIPPED_CLIP, PCMU).payload))[:80_000]
ROOM = [random.Random(1).uniform(-0.0003, 0.0003) for _ in range(80_000)]  # a quiet one: no digital silence
VOICE = [sample / 32_768 * 0.83 + noise for sample, noise in zip(SPEECH, ROOM, strict=True)]
PCM16 = array("h", [round(value * 32_767) for value in VOICE]).tobytes()


def floats(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def messages(data: bytes, size: int) -> list[bytes]:
    """Whole samples of each."""
    return [data[at : at + size] for at in range(0, len(data) - size, size)]


def tone(amplitude: float, limit: float = math.inf) -> list[float]:
    return [max(-limit, min(limit, amplitude * math.sin(n * 0.345))) for n in range(4000)]


AUDIO = {
    "speech": VOICE,
    "quiet speech": [value / 1000 for value in VOICE],
    "speech that is too loud": [value * 4 for value in VOICE],
    "speech between digital silences": [value if abs(value) > 0.003 else 0.0 for value in VOICE],
    "nothing": [0.0] * 4000,
    "a muted microphone": [math.copysign(0.0, value) for value in VOICE],
    "clipped": tone(8.0, limit=1.0),
    "a little beyond": tone(1.9),
    "full scale": tone(1.0),
    "a step": [1.0] * 2000 + [-1.0] * 2000,
    "noise": [random.Random(7).gauss(0, 0.2) for _ in range(4000)],
    "a constant": [1e-9] * 4000,
    "an echo that dies away": [0.5 * math.exp(-n / 90) * math.sin(n / 2) for n in range(4000)],
    "a filter that runs out": [0.5 * math.exp(-n / 20) if n < 1700 else 0.0 for n in range(4000)],
    "as it begins": [0.0] * 1990 + VOICE[:2000],
}


@pytest.mark.parametrize("size", [64, 512, 640, 4096])
@pytest.mark.parametrize("values", AUDIO.values(), ids=AUDIO)
def test_audio(values: list[float], size: int) -> None:
    assert all(is_plausible(message) for message in messages(floats(values), size))


def test_a_glitch() -> None:
    """A worklet's first block is not a number now and then."""
    values = VOICE[:160]
    values[7] = math.nan
    values[99] = math.inf
    assert is_plausible(floats(values))


OTHERS = {
    "µ-law": encode_ulaw(PCM16),
    "A-law": encode_alaw(PCM16),
    "16 bit integers": PCM16,
    "16 bit integers, big endian": struct.pack(f">{len(VOICE)}h", *[round(value * 32_767) for value in VOICE]),
    "Float64": struct.pack(f"<{len(VOICE)}d", *VOICE),
    "Float64 of 16 bit integers": struct.pack(f"<{len(VOICE)}d", *[(sample or 1) / 32_768 for sample in SPEECH]),
    "floats of integers": floats([(sample or 1) * 1.0 for sample in SPEECH if abs(sample) > 2]),
    "big endian": struct.pack(f">{len(VOICE)}f", *VOICE),
    "big endian of 16 bit integers": struct.pack(f">{len(VOICE)}f", *[(sample or 1) / 32_768 for sample in SPEECH]),
    "silence in µ-law": b"\xff" * 4000,
    "silence in µ-law, negative": b"\x7f" * 4000,
    "silence in A-law": b"\xd5" * 4000,
    "nearly silence in µ-law": bytes(random.Random(3).choices(b"\xff\x7f\xfe\x7e", k=4000)),
}


@pytest.mark.parametrize("size", [160, 320, 640, 1000, 1024])
@pytest.mark.parametrize("form", OTHERS)
def test_other_forms(form: str, size: int) -> None:
    """In messages of 20 samples or more."""
    data = OTHERS[form]
    size = max(size, 320) if form.startswith("Float64") else size
    assert not any(is_plausible(message) for message in messages(data, size))


@given(st.lists(st.floats(-1.5, 1.5, width=32), max_size=64))
def test_what_can_be_said_never_raises(values: list[float]) -> None:
    is_plausible(floats(values))


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    is_plausible(data[: len(data) // 4 * 4])
