"""Writes what a call played and received to files: a WAV with true timing, and a log of the raw messages.

Writes go through the page cache in pieces of half a second; the simulator can afford to wait for them.
"""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import orjson

from simulator.codecs import PCM_SAMPLE_BYTES, Codec, Decoder

if TYPE_CHECKING:
    from pathlib import Path


class TalkRecorder:
    """`NAME.wav` and `NAME.jsonl` in a directory, which is made when it is not there. The caller closes it.

    The WAV's header is right after every write, so a killed simulator leaves a whole file.
    """

    def __init__(self, directory: Path, name: str, codec: Codec) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.wav_path = directory / f"{name}.wav"
        self.log_path = directory / f"{name}.jsonl"
        self._decoder = Decoder(codec)
        self._log = self.log_path.open("wb")
        self._wav = wave.open(str(self.wav_path), "wb")  # noqa: SIM115
        self._wav.setnchannels(1)
        self._wav.setsampwidth(PCM_SAMPLE_BYTES)
        self._wav.setframerate(codec.audio_rate)

    def played(self, payload: bytes) -> None:
        """Coded audio that was played after what came before."""
        if payload:
            self._wav.writeframes(self._decoder.decode(payload))

    def received(self, message: str | bytes, at_s: float) -> None:
        """A message as it came in, at a time since the stream began: one line of JSON, binary as hexadecimal."""
        content = {"text": message} if isinstance(message, str) else {"binary": message.hex()}
        self._log.write(orjson.dumps({"at_s": round(at_s, 6), **content}, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        self._wav.close()
        self._log.close()
