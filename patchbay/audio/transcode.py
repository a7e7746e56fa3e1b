"""Any codec that Telnyx may send to µ-law, for browsers that play nothing else.

One object per stream and track, since most codecs have a state. What needs the library for wide-band codecs and for
resampling is done in a process of its own (`actors.fanout.decoder.process`). Knows nothing of frames on the wire or of
listeners.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from patchbay.audio import amr_wb
from patchbay.audio.g711 import FRAME_BYTES, SILENCE_ULAW, alaw_to_ulaw, decode_alaw, decode_ulaw, encode_ulaw

if TYPE_CHECKING:
    from collections.abc import Callable

    from av import AudioFrame

    from patchbay.audio.media_format import MediaFormat

PAYLOAD_MAX_BYTES: Final = 16 * 1024  # some hundred times what a frame has; a longer one is not decoded
OUTPUT_MAX_BYTES: Final = 2 * PAYLOAD_MAX_BYTES  # of µ-law from one payload
_ULAW_RATE_HZ: Final = 8000
# What the library is needed for costs by the audio that comes of it: no more than so much faster than it is spoken, but
# for so much at once (what the network held back, or the last moments).
FASTEST: Final = 1.25
AT_ONCE_S: Final = 5.0
THINNEST: Final = 10  # bytes of µ-law that a byte of any codec stands for, at most; of speech
_LINEAR: Final = ("PCMU", "PCMA", "L16")
_DECODERS: Final = {"G722": ("g722", 16_000), "OPUS": ("libopus", 48_000), "AMR-WB": ("amrwb", 16_000)}
ENCODINGS: Final = (*_LINEAR, *_DECODERS)


class UnknownCodec(Exception):
    """A codec that nobody here can decode."""


def needs_library(media_format: MediaFormat) -> bool:
    """Whether the library is needed to make µ-law of this format; not of a codec that nobody knows."""
    if media_format.encoding in _LINEAR:
        return media_format.sample_rate != _ULAW_RATE_HZ or media_format.channels != 1
    return media_format.encoding in _DECODERS


class Transcoder(ABC):
    """To µ-law, 8 kHz, mono.

    Args:
        on_undecodable: called for each payload that can't be decoded, or comes too fast.
    """

    _is_costly = False

    def __init__(self, on_undecodable: Callable[[], None] = lambda: None) -> None:
        self._on_undecodable = on_undecodable
        self._spoken_at = float("-inf")  # when all that was made would have been spoken, at the fastest
        self._usual_bytes = FRAME_BYTES  # that the last payload gave

    def to_ulaw(self, payload: bytes, now: float) -> bytes:
        """Make µ-law of one payload: silence, as long as the one before, of what holds nothing or can't be decoded; a
        frame of it of what comes too fast."""
        if self._spoken_at - now > AT_ONCE_S:
            self._on_undecodable()
            return SILENCE_ULAW * FRAME_BYTES
        ulaw, made = b"", 0
        if len(payload) > PAYLOAD_MAX_BYTES:
            self._on_undecodable()
        elif payload:
            try:
                ulaw = self._decode(payload)[:OUTPUT_MAX_BYTES]
                made = len(ulaw)
            except ValueError:
                self._on_undecodable()
                made = THINNEST * len(payload)  # that it may have cost
        if self._is_costly:
            self._spoken_at = max(self._spoken_at, now) + made / (_ULAW_RATE_HZ * FASTEST)
        if not ulaw:
            return SILENCE_ULAW * self._usual_bytes
        self._usual_bytes = len(ulaw)
        return ulaw

    @abstractmethod
    def _decode(self, payload: bytes) -> bytes:
        """Make µ-law of one payload; nothing, when the codec needs more before it can give any. Raises ValueError."""

    @staticmethod
    def for_format(
        media_format: MediaFormat, on_undecodable: Callable[[], None] = lambda: None, *, big_endian: bool = False
    ) -> Transcoder:
        """Make the one for this format.

        Args:
            big_endian: of L16. Telnyx's is little endian by all reports, though RFC 3551 says otherwise.

        Raises:
            UnknownCodec: there is none. What the library raises besides comes out, too.
        """
        encoding, rate = media_format.encoding, media_format.sample_rate
        channels = media_format.channels
        plain = not needs_library(media_format)
        if encoding == "PCMU" and plain:
            return _Translator(bytes, on_undecodable)
        if encoding == "PCMA" and plain:
            return _Translator(alaw_to_ulaw, on_undecodable)
        if encoding in _DECODERS:
            return _Decoder(encoding, channels, on_undecodable)
        l16 = _swapped if big_endian else bytes
        to_linear = {"PCMU": decode_ulaw, "PCMA": decode_alaw, "L16": l16}.get(encoding)
        if to_linear is None:
            raise UnknownCodec(f"no decoder for {encoding}")
        if plain:
            return _Translator(lambda payload: encode_ulaw(to_linear(payload)), on_undecodable)
        return _Resampler(to_linear, rate, channels, on_undecodable)


def _swapped(pcm: bytes) -> bytes:
    if len(pcm) % 2:
        raise ValueError("half a sample")
    swapped = bytearray(len(pcm))
    swapped[0::2], swapped[1::2] = pcm[1::2], pcm[0::2]
    return bytes(swapped)


class _Translator(Transcoder):
    """Sample by sample, at 8 kHz."""

    def __init__(self, translate: Callable[[bytes], bytes], on_undecodable: Callable[[], None]) -> None:
        super().__init__(on_undecodable)
        self._translate = translate

    def _decode(self, payload: bytes) -> bytes:
        return self._translate(payload)


class _Resampled(Transcoder):
    """What the library's resampler is needed for."""

    _is_costly = True

    def __init__(self, on_undecodable: Callable[[], None]) -> None:
        super().__init__(on_undecodable)
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

    def __init__(
        self, to_linear: Callable[[bytes], bytes], rate: int, channels: int, on_undecodable: Callable[[], None]
    ) -> None:
        super().__init__(on_undecodable)
        self._to_linear = to_linear
        self._rate = rate
        self._layout = "stereo" if channels == 2 else "mono"
        self._sample_bytes = 2 * channels

    def _decode(self, payload: bytes) -> bytes:
        pcm = self._to_linear(payload)
        if len(pcm) % self._sample_bytes:
            raise ValueError("half a sample")
        samples = len(pcm) // self._sample_bytes
        frame = self._av.AudioFrame(format="s16", layout=self._layout, samples=samples, align=1)
        frame.sample_rate = self._rate
        frame.planes[0].update(pcm)
        return self._encode(frame)


class _Decoder(_Resampled):
    """Wide-band codecs."""

    def __init__(self, encoding: str, channels: int, on_undecodable: Callable[[], None]) -> None:
        super().__init__(on_undecodable)
        name, rate = _DECODERS[encoding]
        self._unpack = amr_wb.unpack if encoding == "AMR-WB" else lambda payload: [payload]
        self._codec = self._av.AudioCodecContext.create(name, "r")
        self._codec.sample_rate = rate
        self._codec.layout = "stereo" if channels == 2 else "mono"

    def _decode(self, payload: bytes) -> bytes:
        return b"".join(
            SILENCE_ULAW * FRAME_BYTES if data is None else self._decode_one(data) for data in self._unpack(payload)
        )

    def _decode_one(self, data: bytes) -> bytes:
        try:
            return b"".join(map(self._encode, self._codec.decode(self._av.Packet(data))))
        except self._av.FFmpegError as error:
            raise ValueError(str(error)) from error
