"""Measures peak levels for waveforms: the loudest sample as 0 … 255 on a scale of decibels. Pure.

Level v stands for 32,768 * 10^((v - 255) / 85): -60 dBFS is 0 and each step is 0.24 dB.
"""

from __future__ import annotations

import math
from typing import Final

from patchbay.audio.g711 import ALAW_TO_LINEAR, ULAW_TO_LINEAR, read_int16

_FULL: Final = 32_768
_STEPS: Final = 255
_STEPS_PER_DECADE: Final = 85


def of_sample(sample: int) -> int:
    """Return the level of one linear sample of 16 bits."""
    if sample == 0:
        return 0
    return max(0, round(_STEPS + _STEPS_PER_DECADE * math.log10(abs(sample) / _FULL)))


_OF_ULAW: Final = bytes(map(of_sample, ULAW_TO_LINEAR))
_OF_ALAW: Final = bytes(map(of_sample, ALAW_TO_LINEAR))


def of_ulaw(payload: bytes) -> int:
    """Return the peak level of µ-law; 0 without samples."""
    return max(payload.translate(_OF_ULAW), default=0)


def of_alaw(payload: bytes) -> int:
    """Return the peak level of A-law; 0 without samples."""
    return max(payload.translate(_OF_ALAW), default=0)


def of_l16(payload: bytes) -> int:
    """Return the peak level of linear audio, 16 bit little endian. An incomplete sample at the end is ignored."""
    samples = read_int16(payload[: len(payload) & ~1])
    return of_sample(max(max(samples), -min(samples))) if samples else 0
