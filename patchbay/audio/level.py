"""Measures peak levels for waveforms: the loudest sample as 0 … 255 on a scale of decibels. Pure.

Level v stands for 32,768 * 10^((v - 255) / 85): -60 dBFS is 0 and each step is 0.24 dB.
"""

from __future__ import annotations

import math
import sys
from array import array
from typing import Final

from patchbay.audio.g711 import decode_alaw, decode_ulaw

_FULL: Final = 32_768
_STEPS: Final = 255
_STEPS_PER_DECADE: Final = 85
IS_BIG_ENDIAN: Final = sys.byteorder == "big"


def of_sample(sample: int) -> int:
    """Return the level of one linear sample of 16 bits."""
    if sample == 0:
        return 0
    return max(0, round(_STEPS + _STEPS_PER_DECADE * math.log10(abs(sample) / _FULL)))


def _table(linear: bytes) -> bytes:
    samples = array("h", linear)
    if IS_BIG_ENDIAN:
        samples.byteswap()
    return bytes(map(of_sample, samples))


_OF_ULAW: Final = _table(decode_ulaw(bytes(range(256))))
_OF_ALAW: Final = _table(decode_alaw(bytes(range(256))))


def of_ulaw(payload: bytes) -> int:
    """Return the peak level of µ-law; 0 without samples."""
    return max(payload.translate(_OF_ULAW), default=0)


def of_alaw(payload: bytes) -> int:
    """Return the peak level of A-law; 0 without samples."""
    return max(payload.translate(_OF_ALAW), default=0)


def of_l16(payload: bytes) -> int:
    """Return the peak level of linear audio, 16 bit little endian. An incomplete sample at the end is ignored."""
    samples = array("h", payload[: len(payload) & ~1])
    if IS_BIG_ENDIAN:
        samples.byteswap()
    return of_sample(max(max(samples), -min(samples))) if samples else 0
