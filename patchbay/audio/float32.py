"""Tells Float32 audio from other bytes: µ-law, 16 bit integers, Float64, the other byte order. Pure.

Samples of Float32 audio are in [-1, 1] or slightly beyond, and neighbours have similar sizes. Other bytes, read as
Float32, have exponents from the whole range.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

# The highest byte of a little endian Float32 has the sign and 7 of the 8 bits of the exponent.
_TOPS: Final = range(256)
_BELOW_2: Final = bytes(top for top in _TOPS if top & 0x7F < 0x40)
_BELOW_128: Final = bytes(top for top in _TOPS if top & 0x7F < 0x43)
_NOT_TINY: Final = bytes(top for top in _TOPS if top & 0x7F >= 0x2C)  # 4e-12 (-228 dBFS) or more
_NO_SIGN: Final = 0x7FFFFFFF
_LEAST: Final = 0x01000000  # bits of about the smallest number that is not subnormal
_JUMP: Final = 0x08000000  # a factor of 2 ** 16, which neighbours in audio have only near zero
_HUGE_SHARE: Final = 32  # one sample in 32 may be huge
_PAIRS_MIN: Final = 8


def is_plausible(samples: bytes) -> bool:
    """Tell whether a whole number of little endian Float32 samples can be audio.

    They can't when
    - more than one sample in 32 is 128 or more, infinite, or not a number,
    - most samples are 2 or more,
    - many samples are too small to be heard, and neighbours differ much in size or most samples are subnormal,
    - every second sample is zero and nearly all samples between are not (Float64).
    """
    tops = samples[3::4]
    count = len(tops)
    large = len(tops.translate(None, _BELOW_2))
    if large and (large * 2 > count or len(tops.translate(None, _BELOW_128)) * _HUGE_SHARE > count):
        return False
    if len(tops.translate(None, _NOT_TINY)) * 4 <= count:  # true for nearly all audio, but not for digital silence
        return True
    sizes = [word & _NO_SIGN for word in memoryview(samples).cast("I")]
    return not (_is_float64(sizes) or _is_garbage(sizes))


def _is_garbage(sizes: list[int]) -> bool:
    """Tell whether very quiet samples are no decaying sound. The bits of a float serve as its logarithm."""
    sounds = [size for size in sizes if size]
    jumps = sum(abs(one - other) >= _JUMP for one, other in pairwise(sounds))
    return jumps * 4 > len(sounds) or sum(size < _LEAST for size in sounds) * 2 > len(sizes)


def _is_float64(sizes: list[int]) -> bool:
    low, high = sizes[0::2], sizes[1::2]
    return len(high) >= _PAIRS_MIN and not any(low) and (len(high) - high.count(0)) * 4 > 3 * len(high)
