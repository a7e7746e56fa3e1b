"""How much two pieces of audio are alike. What decodes here is FFmpeg, which the system under test does not use for
G.711."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def samples(pcm: bytes) -> array[int]:
    """16 bit, little-endian, as the machines that run this are."""
    return array("h", pcm)


def power(values: Iterable[float]) -> float:
    """The sum of squares."""
    return sum(value * value for value in values)


def snr_db(reference: bytes, heard: bytes) -> float:
    """Signal-to-noise ratio of PCM of the same length."""
    assert len(reference) == len(heard)
    wanted, got = samples(reference), samples(heard)
    noise = power(a - b for a, b in zip(wanted, got, strict=True))
    return 10 * math.log10(power(wanted) / noise) if noise else math.inf


def mixed(one: bytes, other: bytes) -> bytes:
    """The sum of two pieces of PCM, clipped."""
    pairs = zip(samples(one), samples(other), strict=True)
    return array("h", [max(-32768, min(32767, a + b)) for a, b in pairs]).tobytes()
