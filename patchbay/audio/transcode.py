"""Transcodes any codec that Telnyx may send to µ-law, for browsers that play nothing else. Pure.

Most codecs have a state, so each track of a stream has a transcoder of its own. Wide-band codecs and resampling need a
library (PyAV), and are transcoded in a process of its own (`actors.fanout.decoder.process`).
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

PAYLOAD_MAX_BYTES: Final = 16 * 1024  # some hundred frames; a longer payload is not decoded
OUTPUT_MAX_BYTES: Final = 2 * PAYLOAD_MAX_BYTES  # of µ-law from one payload
_ULAW_RATE_HZ: Final = 8000
# The cost of the library grows with the length of the audio. So audio may be at most FASTEST times as fast as speech,
# besides AT_ONCE_S seconds at once: audio that the network has held back, or the replay buffer.
FASTEST: Final = 1.25
AT_ONCE_S: Final = 5.0
THINNEST: Final = 10  # bytes of µ-law that one byte of any speech codec decodes to, at most
_LINEAR: Final = ("PCMU", "PCMA", "L16")
_DECODERS: Final = {"G722": ("g722", 16_000), "OPUS": ("libopus", 48_000), "AMR-WB": ("amrwb", 16_000)}
ENCODINGS: Final = (*_LINEAR, *_DECODERS)


class UnknownCodec(Exception):
    """Reports a codec that can't be decoded here."""


def needs_library(media_format: MediaFormat) -> bool:
    """Return whether transcoding this format to µ-law needs the library; False for an unknown codec."""
    if media_format.encoding in _LINEAR:
        return media_format.sample_rate != _ULAW_RATE_HZ or media_format.channels != 1
    return media_format.encoding in _DECODERS


class Transcoder(ABC):
    """Transcodes one track to µ-law, 8 kHz, mono.

    Args:
        on_undecodable: called for each payload that can't be decoded, or arrives too fast.
    """

    _is_costly = False

    def __init__(self, on_undecodable: Callable[[], None] = lambda: None) -> None:
        self._on_undecodable = on_undecodable
        self._spoken_at = float("-inf")  # when all audio so far would have been spoken, FASTEST times as fast
        self._usual_bytes = FRAME_BYTES  # of µ-law from the last payload

    def to_ulaw(self, payload: bytes, now: float) -> bytes:
        """Return the µ-law of one payload.

        An empty or undecodable payload gives silence as long as the payload before; one that arrives too fast gives a
        frame of silence.
        """
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
                made = THINNEST * len(payload)  # the most that it may have cost
        if self._is_costly:
            self._spoken_at = max(self._spoken_at, now) + made / (_ULAW_RATE_HZ * FASTEST)
        if not ulaw:
            return SILENCE_ULAW * self._usual_bytes
        self._usual_bytes = len(ulaw)
        return ulaw

    @abstractmethod
    def _decode(self, payload: bytes) -> bytes:
        """Return the µ-law of one payload; empty when the codec needs more payloads first. Raises ValueError."""

    @staticmethod
    def for_format(
        media_format: MediaFormat, on_undecodable: Callable[[], None] = lambda: None, *, big_endian: bool = False
    ) -> Transcoder:
        """Make a transcoder for this format.

        Args:
            big_endian: byte order of L16. Telnyx's L16 is little endian by all reports, unlike RFC 3551.

        Raises:
            UnknownCodec: no transcoder for this codec. Exceptions of the library come out, too.
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
    """Translates each sample, at 8 kHz."""

    def __init__(self, translate: Callable[[bytes], bytes], on_undecodable: Callable[[], None]) -> None:
        super().__init__(on_undecodable)
        self._translate = translate

    def _decode(self, payload: bytes) -> bytes:
        return self._translate(payload)


class _Resampled(Transcoder):
    """Resamples audio with the library, and encodes it."""

    _is_costly = True

    def __init__(self, on_undecodable: Callable[[], None]) -> None:
        super().__init__(on_undecodable)
        import av

        self._av = av
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=_ULAW_RATE_HZ)

    def _encode(self, frame: AudioFrame) -> bytes:
        frame.pts = None  # without times, the resampler sees no gaps between pieces
        return b"".join(
            encode_ulaw(bytes(piece.planes[0])[: 2 * piece.samples]) for piece in self._resampler.resample(frame)
        )


class _Resampler(_Resampled):
    """Transcodes linear or G.711 audio of any rate, mono or stereo."""

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
    """Decodes wide-band codecs with the library."""

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
