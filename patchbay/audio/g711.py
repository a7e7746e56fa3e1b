"""G.711: µ-law and A-law by tables, computed once at import.

Bytes in, bytes out; knows nothing of calls, frames or clocks. Linear audio is 16 bit signed little endian.
"""

from __future__ import annotations

import functools
import sys
from array import array
from typing import Final, Literal

Codec = Literal["PCMU", "PCMA"]

FRAME_BYTES: Final = 160  # 20 ms
SILENCE_ULAW: Final = b"\xff"
SILENCE_ALAW: Final = b"\xd5"
SILENCE: Final[dict[Codec, bytes]] = {"PCMU": SILENCE_ULAW, "PCMA": SILENCE_ALAW}

# A frame is silent when no sample is louder than this, of 32,768: -42 dBFS. A microphone's noise after a browser's
# noise suppression stays below, the quietest syllables of speech at telephone level peak above.
SILENCE_PEAK: Final = 256

_REACH: Final = 65_536  # the encoding tables take -_REACH … _REACH - 1, so that sums and floats below 2.0 saturate


def _decode_ulaw_byte(code: int) -> int:
    code = ~code & 0xFF
    magnitude = ((((code & 0x0F) << 1) + 33 << (code >> 4 & 7)) - 33) << 2
    return -magnitude if code & 0x80 else magnitude


def _decode_alaw_byte(code: int) -> int:
    code ^= 0x55
    segment, mantissa = code >> 4 & 7, (code & 0x0F) << 4
    magnitude = mantissa + 8 if segment == 0 else mantissa + 0x108 << segment - 1
    return magnitude if code & 0x80 else -magnitude


def _both_halves(positive: bytes, flip: int) -> bytes:
    """The encoding table of every sample: 0 … _REACH - 1, then the negative ones, as Python's negative indices want.

    ITU-T G.191 (`ulaw_compress`, `alaw_compress`) takes the magnitude of a negative sample from its one's complement:
    -1 is coded as 0 with the sign bit cleared. `audioop` agrees for A-law; for µ-law it takes the two's complement and
    rounds away from zero, so on exact decision values its negative codes are one step louder than the ITU's.
    """
    positive += positive[-1:] * (_REACH - len(positive))
    negative = positive[::-1].translate(bytes(code ^ flip for code in range(256)))
    return positive + negative


def _ulaw_encoder() -> bytes:
    runs = [bytes([0xFF - (segment << 4 | step)]) * (8 << segment) for segment in range(8) for step in range(16)]
    return _both_halves(b"".join(runs)[4:], 0x80)  # the first interval is half as wide


def _alaw_encoder() -> bytes:
    runs = [
        bytes([(segment << 4 | step) ^ 0xD5]) * (16 << max(segment - 1, 0))
        for segment in range(8)
        for step in range(16)
    ]
    return _both_halves(b"".join(runs), 0x80)


ULAW_TO_LINEAR: Final = tuple(_decode_ulaw_byte(code) for code in range(256))
ALAW_TO_LINEAR: Final = tuple(_decode_alaw_byte(code) for code in range(256))
_LINEAR_TO_ULAW: Final = _ulaw_encoder()
_LINEAR_TO_ALAW: Final = _alaw_encoder()
_ULAW_TO_ALAW: Final = bytes(_LINEAR_TO_ALAW[sample] for sample in ULAW_TO_LINEAR)
_ALAW_TO_ULAW: Final = bytes(_LINEAR_TO_ULAW[sample] for sample in ALAW_TO_LINEAR)

# Decoding is two translations, low bytes and high bytes: a fifth of the price of one look-up for each sample.
_ULAW_LOW: Final = bytes(sample & 0xFF for sample in ULAW_TO_LINEAR)
_ULAW_HIGH: Final = bytes(sample >> 8 & 0xFF for sample in ULAW_TO_LINEAR)
_ALAW_LOW: Final = bytes(sample & 0xFF for sample in ALAW_TO_LINEAR)
_ALAW_HIGH: Final = bytes(sample >> 8 & 0xFF for sample in ALAW_TO_LINEAR)

QUIET: Final[dict[Codec, bytes]] = {  # the codes of all samples that are silence
    "PCMU": bytes(code for code, s in enumerate(ULAW_TO_LINEAR) if abs(s) <= SILENCE_PEAK),
    "PCMA": bytes(code for code, s in enumerate(ALAW_TO_LINEAR) if abs(s) <= SILENCE_PEAK),
}
_ENCODERS: Final[dict[Codec, bytes]] = {"PCMU": _LINEAR_TO_ULAW, "PCMA": _LINEAR_TO_ALAW}

_BELOW_TWO: Final = bytes(top for top in range(256) if top & 0x7F < 0x40)  # top bytes of floats below 2.0


def _numbers(typecode: Literal["h", "f"], data: bytes) -> array[int] | array[float]:
    """Little endian `data` as numbers; raises ValueError when it is not a whole number of them."""
    numbers = array(typecode)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def encode_ulaw(pcm16le: bytes) -> bytes:
    """Linear to µ-law. Raises ValueError on an odd number of bytes."""
    return bytes(map(_LINEAR_TO_ULAW.__getitem__, _numbers("h", pcm16le)))  # type: ignore[arg-type]


def encode_alaw(pcm16le: bytes) -> bytes:
    """Linear to A-law. Raises ValueError on an odd number of bytes."""
    return bytes(map(_LINEAR_TO_ALAW.__getitem__, _numbers("h", pcm16le)))  # type: ignore[arg-type]


def decode_ulaw(data: bytes) -> bytes:
    """µ-law to linear, twice as many bytes."""
    pcm = bytearray(2 * len(data))
    pcm[0::2] = data.translate(_ULAW_LOW)
    pcm[1::2] = data.translate(_ULAW_HIGH)
    return bytes(pcm)


def decode_alaw(data: bytes) -> bytes:
    """A-law to linear, twice as many bytes."""
    pcm = bytearray(2 * len(data))
    pcm[0::2] = data.translate(_ALAW_LOW)
    pcm[1::2] = data.translate(_ALAW_HIGH)
    return bytes(pcm)


def ulaw_to_alaw(data: bytes) -> bytes:
    """The A-law code of each decoded value."""
    return data.translate(_ULAW_TO_ALAW)


def alaw_to_ulaw(data: bytes) -> bytes:
    """The µ-law code of each decoded value."""
    return data.translate(_ALAW_TO_ULAW)


def encode_float32(samples: bytes, codec: Codec) -> bytes:
    """Little endian Float32 samples in [-1, 1] to G.711; 1.0 is 32,768, as everywhere in Web Audio.

    Louder samples and infinities are clamped, NaN is silence. Raises ValueError only when `samples` is not a whole
    number of floats: the caller keeps the remainder for his next piece.
    """
    table = _ENCODERS[codec]
    numbers = _numbers("f", samples)
    if samples[3::4].translate(None, _BELOW_TWO):  # one is 2.0 or more, infinite or not a number
        # a NaN is the one number that differs from itself
        tame = [max(-1.0, min(1.0, x)) if x == x else 0.0 for x in numbers]
        return bytes([table[int(x * 32768.0)] for x in tame])
    return bytes([table[int(x * 32768.0)] for x in numbers])


def is_silent(payload: bytes, codec: Codec) -> bool:
    """Whether no sample is louder than SILENCE_PEAK. An empty payload is silent."""
    return not payload.lstrip(QUIET[codec])  # which looks no further than the first loud sample


@functools.cache
def _mix_table() -> bytes:
    """The code of the sum of every two codes, at first << 8 | second. 64 KiB; made when a call is first mixed."""
    return b"".join(bytes([_LINEAR_TO_ULAW[first + second] for second in ULAW_TO_LINEAR]) for first in ULAW_TO_LINEAR)


def mix_ulaw(a: bytes, b: bytes) -> bytes:
    """The sum of two equally long pieces, saturating. Raises ValueError when their lengths differ."""
    if len(a) != len(b):
        raise ValueError(f"cannot mix {len(a)} bytes with {len(b)}")
    pairs = bytearray(2 * len(a))
    pairs[0::2] = a
    pairs[1::2] = b
    return bytes(map(_mix_table().__getitem__, memoryview(pairs).cast("H")))  # the table is symmetric
