"""Tells Float32 audio from bytes that are something else: µ-law, 16 bit integers, Float64, another byte order. Pure.

Audio in floats is in [-1, 1], clipped there or a little beyond, and changes by and by. Bytes of another form, read as
floats, have exponents all over the range.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

# Classes of the highest byte of a little endian Float32: the sign, and 7 of the 8 bits of the exponent.
_TOPS: Final = range(256)
_BELOW_2: Final = bytes(top for top in _TOPS if top & 0x7F < 0x40)
_BELOW_128: Final = bytes(top for top in _TOPS if top & 0x7F < 0x43)
_NOT_TINY: Final = bytes(top for top in _TOPS if top & 0x7F >= 0x2C)  # 4e-12 and more: -228 dBFS
_NO_SIGN: Final = 0x7FFFFFFF
_LEAST: Final = 0x01000000  # about the least number that is not subnormal
_JUMP: Final = 0x08000000  # 2 to the power of 16: what audio does from one sample to the next only around zero
_HUGE_SHARE: Final = 32  # one sample in so many
_PAIRS_MIN: Final = 8


def is_plausible(samples: bytes) -> bool:
    """Whether a whole number of little endian Float32 samples can be audio.

    It can't when more than one sample in 32 is 128 or more, infinite, or not a number; when most are 2 or more; when many
    are far below what can be heard, and neighbours of quite another size, or most subnormal; when every second one is
    zero, and nearly all between them are not (Float64).
    """
    tops = samples[3::4]
    count = len(tops)
    large = len(tops.translate(None, _BELOW_2))
    if large and (large * 2 > count or len(tops.translate(None, _BELOW_128)) * _HUGE_SHARE > count):
        return False
    if len(tops.translate(None, _NOT_TINY)) * 4 <= count:  # as good as all audio, but for digital silence
        return True
    sizes = [word & _NO_SIGN for word in memoryview(samples).cast("I")]
    return not (_is_float64(sizes) or _is_garbage(sizes))


def _is_garbage(sizes: list[int]) -> bool:
    """Whether what is too quiet to be heard is no decaying sound. The bits of a float are as good as its logarithm."""
    sounds = [size for size in sizes if size]
    jumps = sum(abs(one - other) >= _JUMP for one, other in pairwise(sounds))
    return jumps * 4 > len(sounds) or sum(size < _LEAST for size in sounds) * 2 > len(sizes)


def _is_float64(sizes: list[int]) -> bool:
    low, high = sizes[0::2], sizes[1::2]
    return len(high) >= _PAIRS_MIN and not any(low) and (len(high) - high.count(0)) * 4 > 3 * len(high)
