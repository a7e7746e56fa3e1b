"""What a track carries: a clip read from a WAV file, silence, or the talk that came back.

Reading and resampling is PyAV's. A source answers for any tick (20 ms) and knows no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import av
from av.audio.resampler import AudioResampler

from simulator.codecs import FRAMES_PER_S, Codec, pcm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

SHIPPED_CLIP = Path(__file__).parent / "recordings" / "demo-congrats.wav"
ECHO_MAX_S = 60  # talk that waits for its turn on an echoing track; then the oldest goes


class ClipError(Exception):
    """A file can't be used as a clip. The text names it and says why."""


class Source(Protocol):
    """Where a track's frames come from."""

    @property
    def length(self) -> int | None:
        """Ticks until it ends by itself; None: never."""

    def frame(self, tick: int) -> bytes:
        """The payload of 20 ms; silence after the end. Ticks are asked for in order."""


@dataclass(frozen=True)
class Clip:
    """Coded audio in frames of 20 ms."""

    codec: Codec
    frames: tuple[bytes, ...]
    loop: bool = False

    @property
    def length(self) -> int | None:
        return None if self.loop else len(self.frames)

    def frame(self, tick: int) -> bytes:
        if self.loop:
            return self.frames[tick % len(self.frames)]
        return self.frames[tick] if tick < len(self.frames) else self.codec.silence(self.codec.frame_bytes)

    @property
    def payload(self) -> bytes:
        """All of it in one piece."""
        return b"".join(self.frames)

    def looped(self) -> Clip:
        """The same, for ever."""
        return replace(self, loop=True)

    def shifted(self, ticks: int) -> Clip:
        """The same, beginning so many frames later; what comes before that is moved to the end."""
        start = ticks % len(self.frames)
        return replace(self, frames=self.frames[start:] + self.frames[:start])


@dataclass(frozen=True)
class Silence:
    """Nothing, for ever."""

    codec: Codec
    length: int | None = None

    def frame(self, tick: int) -> bytes:
        return self.codec.silence(self.codec.frame_bytes)


class Echo:
    """What was said into the call: on a real call, too, the outbound track is what the far party hears."""

    length: int | None = None

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._played = bytearray()

    def feed(self, played: bytes) -> None:
        """Take audio as it is played to the far party, silence included."""
        self._played += played
        excess = len(self._played) - ECHO_MAX_S * self._codec.bytes_per_s
        if excess > 0:
            del self._played[:excess]

    def frame(self, tick: int) -> bytes:
        size = self._codec.frame_bytes
        if len(self._played) < size:
            return self._codec.silence(size)
        payload = bytes(self._played[:size])
        del self._played[:size]
        return payload


def clip_of(payload: bytes, codec: Codec) -> Clip:
    """Cut coded audio into frames of 20 ms; the last is filled up with silence."""
    size = codec.frame_bytes
    payload += codec.silence(-len(payload) % size)
    return Clip(codec, tuple(payload[start : start + size] for start in range(0, len(payload), size)))


def load_clip(path: Path, codec: Codec) -> Clip:
    """Read a sound file of any rate, width and number of channels (mixed to one).

    Blocks; call it before the calls start. Raises ClipError.
    """
    pcm = read_pcm(path, codec.audio_rate)
    if not pcm:
        raise ClipError(f"{path}: holds no audio")
    return clip_of(codec.encode(pcm), codec)


def read_pcm(path: Path, rate: int) -> bytes:
    """The first audio stream of a file as PCM, 16 bit, little-endian, mono, at a rate. Blocks. Raises ClipError."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ClipError(f"{path}: has no audio stream")
            resampler = AudioResampler(format="s16", layout="mono", rate=rate)
            pieces = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
            pieces += resampler.resample(None) if pieces else []
            return b"".join(pcm_bytes(piece) for piece in pieces)
    except (av.FFmpegError, OSError) as error:
        raise ClipError(f"{path}: {error.strerror or error}") from error


def total_ticks(sources: Iterable[Source], duration_s: float | None) -> int | None:
    """How many ticks a call lasts: as long as its longest clip, and no longer than asked; None: for ever."""
    lengths = [length for source in sources if (length := source.length) is not None]
    clips = max(lengths) if lengths else None
    if duration_s is None:
        return clips
    asked = round(duration_s * FRAMES_PER_S)
    return asked if clips is None else min(clips, asked)
