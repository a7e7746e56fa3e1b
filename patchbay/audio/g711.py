"""Encodes and decodes G.711 (µ-law, A-law) with tables that are computed at import. Pure.

Linear audio is 16 bit signed little endian. ITU-T G.711; rounding as in ITU-T G.191.
"""

from __future__ import annotations

import functools
import sys
from array import array
from typing import Final, Literal, TypeVar

Codec = Literal["PCMU", "PCMA"]
_Number = TypeVar("_Number", int, float)

FRAME_BYTES: Final = 160  # 20 ms
SILENCE_ULAW: Final = b"\xff"
SILENCE_ALAW: Final = b"\xd5"
SILENCE: Final[dict[Codec, bytes]] = {"PCMU": SILENCE_ULAW, "PCMA": SILENCE_ALAW}

# A frame is silent when no sample is louder than this, of 32,768: -42 dBFS. Microphone noise after a browser's noise
# suppression stays below this level; the quietest syllables of speech at telephone level peak above it.
SILENCE_PEAK: Final = 256

_REACH: Final = 65_536  # the encoding tables cover -_REACH … _REACH - 1, so sums and floats below 2.0 saturate


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
    """Return an encoding table for all samples: 0 … _REACH - 1, then the negative samples, in the order of Python's
    indices.

    ITU-T G.191 (`ulaw_compress`, `alaw_compress`) takes the magnitude of a negative sample from its one's complement:
    -1 is coded as 0 with the sign bit cleared. `audioop` does the same for A-law; for µ-law it takes the two's
    complement, so its codes of negative samples on exact decision values are one step louder than the ITU's.
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

# Decoding translates twice, for low and for high bytes, which is much cheaper than a look-up for each sample.
_ULAW_LOW: Final = bytes(sample & 0xFF for sample in ULAW_TO_LINEAR)
_ULAW_HIGH: Final = bytes(sample >> 8 & 0xFF for sample in ULAW_TO_LINEAR)
_ALAW_LOW: Final = bytes(sample & 0xFF for sample in ALAW_TO_LINEAR)
_ALAW_HIGH: Final = bytes(sample >> 8 & 0xFF for sample in ALAW_TO_LINEAR)

SILENT_CODES: Final[dict[Codec, bytes]] = {  # codes of samples up to SILENCE_PEAK
    "PCMU": bytes(code for code, s in enumerate(ULAW_TO_LINEAR) if abs(s) <= SILENCE_PEAK),
    "PCMA": bytes(code for code, s in enumerate(ALAW_TO_LINEAR) if abs(s) <= SILENCE_PEAK),
}
_ENCODERS: Final[dict[Codec, bytes]] = {"PCMU": _LINEAR_TO_ULAW, "PCMA": _LINEAR_TO_ALAW}

_BELOW_TWO: Final = bytes(top for top in range(256) if top & 0x7F < 0x40)  # top bytes of floats below 2.0


def _read(numbers: array[_Number], data: bytes) -> array[_Number]:
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def read_int16(pcm16le: bytes) -> array[int]:
    """Return the samples of linear audio. Raises ValueError on an odd number of bytes."""
    return _read(array("h"), pcm16le)


def encode_ulaw(pcm16le: bytes) -> bytes:
    """Encode linear audio as µ-law. Raises ValueError on an odd number of bytes."""
    return bytes(map(_LINEAR_TO_ULAW.__getitem__, read_int16(pcm16le)))


def encode_alaw(pcm16le: bytes) -> bytes:
    """Encode linear audio as A-law. Raises ValueError on an odd number of bytes."""
    return bytes(map(_LINEAR_TO_ALAW.__getitem__, read_int16(pcm16le)))


def decode_ulaw(data: bytes) -> bytes:
    """Decode µ-law to linear audio of twice as many bytes."""
    pcm = bytearray(2 * len(data))
    pcm[0::2] = data.translate(_ULAW_LOW)
    pcm[1::2] = data.translate(_ULAW_HIGH)
    return bytes(pcm)


def decode_alaw(data: bytes) -> bytes:
    """Decode A-law to linear audio of twice as many bytes."""
    pcm = bytearray(2 * len(data))
    pcm[0::2] = data.translate(_ALAW_LOW)
    pcm[1::2] = data.translate(_ALAW_HIGH)
    return bytes(pcm)


def ulaw_to_alaw(data: bytes) -> bytes:
    """Transcode µ-law to A-law: the A-law code of each decoded sample."""
    return data.translate(_ULAW_TO_ALAW)


def alaw_to_ulaw(data: bytes) -> bytes:
    """Transcode A-law to µ-law: the µ-law code of each decoded sample."""
    return data.translate(_ALAW_TO_ULAW)


def encode_float32(samples: bytes, codec: Codec) -> bytes:
    """Encode little endian Float32 samples in [-1, 1] as G.711; 1.0 is 32,768, as in Web Audio.

    Louder samples and infinities are clamped, NaN is silence.

    Raises:
        ValueError: `samples` is not a whole number of floats. The caller keeps the remainder for the next piece.
    """
    table = _ENCODERS[codec]
    numbers = _read(array("f"), samples)
    if samples[3::4].translate(None, _BELOW_TWO):  # one is 2.0 or more, infinite or NaN
        # Only NaN differs from itself.
        tame = [max(-1.0, min(1.0, x)) if x == x else 0.0 for x in numbers]
        return bytes([table[int(x * 32768.0)] for x in tame])
    return bytes([table[int(x * 32768.0)] for x in numbers])


def is_silent(payload: bytes, codec: Codec) -> bool:
    """Tell whether no sample is louder than SILENCE_PEAK. An empty payload is silent."""
    return not payload.lstrip(SILENT_CODES[codec])  # stops at the first loud sample


@functools.cache
def _mix_table() -> bytes:
    """Return the codes of the sums of all two codes, at `first << 8 | second`: 64 KiB, made once."""
    return b"".join(bytes([_LINEAR_TO_ULAW[first + second] for second in ULAW_TO_LINEAR]) for first in ULAW_TO_LINEAR)


def mix_ulaw(a: bytes, b: bytes) -> bytes:
    """Mix two equally long pieces of µ-law; the sum saturates. Raises ValueError when the lengths differ."""
    if len(a) != len(b):
        raise ValueError(f"cannot mix {len(a)} bytes with {len(b)}")
    pairs = bytearray(2 * len(a))
    pairs[0::2] = a
    pairs[1::2] = b
    return bytes(map(_mix_table().__getitem__, memoryview(pairs).cast("H")))  # the table is symmetric
