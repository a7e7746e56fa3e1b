"""Any codec that Telnyx may send to µ-law, for browsers that play nothing else.

One object per stream, track and form, since most codecs have a state. The library for wide-band codecs and for
resampling is loaded when the first call needs it. Knows nothing of frames on the wire or of listeners.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from actors.wire import amr_wb
from actors.wire.g711 import alaw_to_ulaw, decode_alaw, decode_ulaw, encode_ulaw

if TYPE_CHECKING:
    from collections.abc import Callable

    from av import AudioFrame

    from actors.wire.media_format import MediaFormat

_ULAW_RATE_HZ: Final = 8000
_DECODERS: Final = {"G722": ("g722", 16_000), "OPUS": ("libopus", 48_000), "AMR-WB": ("amrwb", 16_000)}


class Transcoder(ABC):
    """To µ-law, 8 kHz, mono.

    Attributes:
        undecodable: payloads that gave nothing since they could not be decoded.
    """

    def __init__(self) -> None:
        self.undecodable = 0

    @abstractmethod
    def to_ulaw(self, payload: bytes) -> bytes:
        """Of one payload. Empty when it can't be decoded, or when the codec needs more before it can give anything."""

    @staticmethod
    def for_format(media_format: MediaFormat, *, big_endian: bool = False) -> Transcoder:
        """The one for this format. A codec that nobody knows is not an error: all its payloads are undecodable.

        Args:
            big_endian: of L16. Telnyx's is little endian by all reports, though RFC 3551 says otherwise.
        """
        encoding, rate = media_format.encoding, media_format.sample_rate
        channels = media_format.channels
        plain = rate == _ULAW_RATE_HZ and channels == 1
        if encoding == "PCMU" and plain:
            return _Translator(lambda payload: payload)
        if encoding == "PCMA" and plain:
            return _Translator(alaw_to_ulaw)
        if encoding in _DECODERS:
            return _Decoder(encoding, channels)
        l16 = _swapped if big_endian else bytes
        to_linear = {"PCMU": decode_ulaw, "PCMA": decode_alaw, "L16": l16}.get(encoding)
        if to_linear is None:
            return _Unknown()
        return _Linear(to_linear) if plain else _Resampler(to_linear, rate, channels)


def _swapped(pcm: bytes) -> bytes:
    swapped = bytearray(len(pcm))
    swapped[0::2], swapped[1::2] = pcm[1::2], pcm[0::2]
    return bytes(swapped)


class _Translator(Transcoder):
    """G.711 at 8 kHz: byte by byte."""

    def __init__(self, translate: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._translate = translate

    def to_ulaw(self, payload: bytes) -> bytes:
        return self._translate(payload)


class _Unknown(Transcoder):
    def to_ulaw(self, payload: bytes) -> bytes:
        self.undecodable += 1
        return b""


class _Linear(Transcoder):
    """Linear at 8 kHz: sample by sample."""

    def __init__(self, to_linear: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._to_linear = to_linear

    def to_ulaw(self, payload: bytes) -> bytes:
        if len(payload) % 2:
            self.undecodable += 1
            return b""
        return encode_ulaw(self._to_linear(payload))


class _Resampled(Transcoder):
    """What the library's resampler is needed for."""

    def __init__(self) -> None:
        super().__init__()
        import av

        self._av = av
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=_ULAW_RATE_HZ)

    def _encode(self, frame: AudioFrame) -> bytes:
        frame.pts = None  # pieces follow each other without gaps, whatever times the codec makes up
        return b"".join(
            encode_ulaw(bytes(piece.planes[0])[: 2 * piece.samples]) for piece in self._resampler.resample(frame)
        )


class _Resampler(_Resampled):
    """Linear of any rate, mono or stereo."""

    def __init__(self, to_linear: Callable[[bytes], bytes], rate: int, channels: int) -> None:
        super().__init__()
        self._to_linear = to_linear
        self._rate = rate
        self._layout = "stereo" if channels == 2 else "mono"
        self._sample_bytes = 2 * channels

    def to_ulaw(self, payload: bytes) -> bytes:
        pcm = self._to_linear(payload)
        if not pcm or len(pcm) % self._sample_bytes:
            self.undecodable += bool(pcm)
            return b""
        samples = len(pcm) // self._sample_bytes
        frame = self._av.AudioFrame(format="s16", layout=self._layout, samples=samples, align=1)
        frame.sample_rate = self._rate
        frame.planes[0].update(pcm)
        return self._encode(frame)


class _Decoder(_Resampled):
    """Wide-band codecs."""

    def __init__(self, encoding: str, channels: int) -> None:
        super().__init__()
        name, rate = _DECODERS[encoding]
        self._unpack = amr_wb.frames if encoding == "AMR-WB" else lambda payload: [payload]
        self._codec = self._av.AudioCodecContext.create(name, "r")
        self._codec.sample_rate = rate
        self._codec.layout = "stereo" if channels == 2 else "mono"

    def to_ulaw(self, payload: bytes) -> bytes:
        if not payload:
            return b""
        try:
            packets = [self._av.Packet(data) for data in self._unpack(payload)]
            decoded = [frame for packet in packets for frame in self._codec.decode(packet)]
            return b"".join(map(self._encode, decoded))
        except (self._av.FFmpegError, ValueError):
            self.undecodable += 1
            return b""
