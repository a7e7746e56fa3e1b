"""The codecs a simulated stream can have: what `media_format` says of them, and turning them into PCM and back.

PCM is 16 bit, little-endian, mono. The coding itself is PyAV's (FFmpeg's). Knows nothing of Telnyx's frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
from av.audio.frame import AudioFrame

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

FRAMES_PER_S = 50  # frames of 20 ms, as telephony has them
PCM_SAMPLE_BYTES = 2


@dataclass(frozen=True)
class Codec:
    """One codec at one rate. `sample_rate` is what Telnyx calls it, `audio_rate` the rate of the PCM behind it."""

    name: str
    sample_rate: int
    audio_rate: int
    bytes_per_s: int
    sample_bytes: int
    silent_byte: int
    library_name: str

    @property
    def frame_bytes(self) -> int:
        """Bytes in a frame of 20 ms."""
        return self.bytes_per_s // FRAMES_PER_S

    @property
    def media_format(self) -> dict[str, str | int]:
        """The `media_format` of a start frame; numbers are numbers in it."""
        return {"encoding": self.name, "sample_rate": self.sample_rate, "channels": 1}

    def silence(self, size_bytes: int) -> bytes:
        """So many bytes of silence."""
        return bytes((self.silent_byte,)) * size_bytes

    def encode(self, pcm: bytes) -> bytes:
        """Code a whole clip of PCM at `audio_rate`."""
        if not pcm:
            return b""
        context = cast("AudioCodecContext", av.CodecContext.create(self.library_name, "w"))
        context.sample_rate, context.layout, context.format = self.audio_rate, "mono", "s16"
        frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // PCM_SAMPLE_BYTES, align=1)
        frame.sample_rate = self.audio_rate
        frame.planes[0].update(pcm)
        return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))

    def decode(self, payload: bytes) -> bytes:
        """PCM at `audio_rate` of a whole clip."""
        return Decoder(self).decode(payload)


class Decoder:
    """Decodes one stream piece by piece: G.722 remembers what came before."""

    def __init__(self, codec: Codec) -> None:
        self._context = cast("AudioCodecContext", av.CodecContext.create(codec.library_name, "r"))
        self._context.sample_rate, self._context.layout = codec.audio_rate, "mono"

    def decode(self, payload: bytes) -> bytes:
        """PCM of the stream's next bytes."""
        if not payload:
            return b""
        frames = self._context.decode(av.Packet(payload))
        return b"".join(pcm_bytes(frame) for frame in frames)


def pcm_bytes(frame: AudioFrame) -> bytes:
    """The samples of a 16 bit mono frame, without the padding FFmpeg adds."""
    return bytes(frame.planes[0])[: frame.samples * PCM_SAMPLE_BYTES]


PCMU = Codec("PCMU", 8000, 8000, 8000, 1, 0xFF, "pcm_mulaw")
PCMA = Codec("PCMA", 8000, 8000, 8000, 1, 0xD5, "pcm_alaw")
# RFC 3551 §4.5.2: G.722's clock is called 8000 Hz for historical reasons, its audio is 16 kHz.
G722 = Codec("G722", 8000, 16000, 8000, 1, 0xFC, "g722")
# Little-endian, as people who ran it report, against RFC 3551.
L16 = Codec("L16", 16000, 16000, 32000, 2, 0, "pcm_s16le")
L16_8K = Codec("L16", 8000, 8000, 16000, 2, 0, "pcm_s16le")

BY_NAME = {"PCMU": PCMU, "PCMA": PCMA, "G722": G722, "L16": L16, "L16/8000": L16_8K}
