"""Encodes a call's audio for `patchbay.v1`: each track for itself, in the call's own codec where the protocol has it.
Pure.

The encoder remembers when ingest had the last frames, by which the delay at a listener is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.fanout.calls.encoder import Encoder, IngestClock
from patchbay.audio.transcode import UnknownCodec
from patchbay.protocol.batches import NO_NUMBER, NO_TIMESTAMP, REPLAYED, STEP_MASK, TRACKS
from patchbay.protocol.v1 import frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from patchbay.audio.media_format import MediaFormat
    from patchbay.protocol.batches import Entry

REMEMBERED: Final = 256  # frames of each track: 5 s, more than any listener's delay
FRAME_MS: Final = 20
STEP_DOWN_AFTER: Final = 8  # frames; a new ingest process needs a few to learn that tracks share a numbering

_NO_TIME: Final = (-1, 0)


class Numbering:
    """Makes the sequence numbers of one track: the positions of its frames, divided by the step between positions.

    So the numbers have no gaps of their own, and are the same in every process and after every restart.
    """

    def __init__(self) -> None:
        self._step = 1
        self._lower = 0  # frames in a row with a smaller step
        self._counted = -1

    def sequence(self, position: int, step: int) -> int:
        """Return the sequence number of a frame.

        Args:
            position: of the frame, or NO_NUMBER.
            step: between positions, as ingest estimates it; 0: not known.
        """
        if position == NO_NUMBER:
            self._counted += 1
            return self._counted
        if step > self._step:
            self._step = step
        elif 0 < step < self._step:
            self._lower += 1
            if self._lower >= STEP_DOWN_AFTER:
                self._step = step
        else:
            self._lower = 0
        return (position + self._step - 1) // self._step


class V1Encoder(Encoder):
    """Encodes one stream. Raises UnknownCodec for a format that the protocol does not have."""

    def __init__(self, media_format: MediaFormat, number: int, clock: IngestClock) -> None:
        form = frames.wire_format(media_format)
        if not form.as_it_is:
            raise UnknownCodec(f"no way to send {media_format.encoding}")
        self._code = form.code
        self._max_bytes = form.message_max_bytes
        self._silences = [form.silence(FRAME_MS) for _ in TRACKS]  # as long as the last payload of each track
        self._stream = frames.stream_number(number)
        self._numbering = [Numbering() for _ in TRACKS]
        self._clock = clock
        self._times = [[_NO_TIME] * REMEMBERED for _ in TRACKS]
        self._flags = 0

    def encode(self, entry: Entry, now: float) -> bytes:
        track, payload = entry.track, entry.payload
        sequence = self._numbering[track].sequence(entry.position, entry.flags & STEP_MASK)
        if not payload:
            payload = self._silences[track]
        elif len(payload) != len(self._silences[track]):
            self._silences[track] = self._silences[track][:1] * len(payload)
        if len(payload) > self._max_bytes:
            return self._cut(entry, payload, sequence)
        flags = frames.REPLAYED if entry.flags & REPLAYED else self._flags
        self._times[track][sequence % REMEMBERED] = (sequence & frames.MASK_32, self._clock.time_us)
        timestamp = sequence * FRAME_MS if entry.timestamp == NO_TIMESTAMP else entry.timestamp
        return frames.audio_frame(track, self._code, flags, self._stream, sequence, timestamp, payload)

    def replay(self, entries: Iterable[Entry], now: float) -> bytes:
        """Return the frames of the replay buffer, with the flag REPLAYED."""
        self._flags = frames.REPLAYED
        try:
            return super().replay(entries, now)
        finally:
            self._flags = 0

    def ingest_time_us(self, stream: int, track: int, sequence: int) -> int | None:
        """Return when ingest had a frame, on the machine's monotonic clock; None: not known, or not any more."""
        known, time_us = self._times[track][sequence % REMEMBERED]
        return time_us if known == sequence and stream == self._stream else None

    def _cut(self, entry: Entry, payload: bytes, sequence: int) -> bytes:
        """Encode a long frame as several messages. All frames of such a stream are as long, so each has its own
        numbers."""
        size = self._max_bytes
        pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
        base = 0 if entry.timestamp == NO_TIMESTAMP else entry.timestamp
        return b"".join(
            frames.audio_frame(
                entry.track,
                self._code,
                self._flags,
                self._stream,
                sequence * len(pieces) + index,
                base + index * frames.MESSAGE_MAX_MS,
                piece,
            )
            for index, piece in enumerate(pieces)
        )
