"""Encodes a call's audio once for all subscribers that want the same encoding, and writes it to each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.fanout.calls.encoder import Encoder, IngestClock, NoEncoder
from actors.fanout.peaks import PeakEncoder, measure_of
from actors.fanout.v1.frames import V1Encoder
from patchbay.audio.g711 import SILENCE_ULAW
from patchbay.audio.media_format import PCMU
from patchbay.audio.mixer import Mixer
from patchbay.audio.transcode import Transcoder, needs_library
from patchbay.net.batched_send import Targets
from patchbay.protocol import legacy
from patchbay.protocol.batches import ENTRY_BYTES, NO_NUMBER, NO_TIMESTAMP, TRACKS
from patchbay.protocol.v1 import frames as v1
from patchbay.websocket.frames import binary_frame, text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.fanout.calls.subscriber import EncodingKey, Subscriber
    from patchbay.audio.media_format import MediaFormat
    from patchbay.net.batched_send import BatchedSend
    from patchbay.protocol.batches import Entry

FRAME_BYTES: Final = 160  # 20 ms; a binary message holds no more, even if Telnyx's frame does
SILENT_FRAME: Final = SILENCE_ULAW * FRAME_BYTES  # in place of an empty payload
FRAME_HEADER: Final = binary_frame(bytes(FRAME_BYTES))[:-FRAME_BYTES]


class EncodedGroup(Targets):
    """Writes one encoding of a call's audio to its members. Members that get the frames unchanged are its targets.

    A group whose encoder has failed sends nothing more; other encodings and calls go on.

    Args:
        on_failed: called once, when the encoder has failed.

    Attributes:
        writers: `write` of the members that are no targets.
    """

    __slots__ = ("_on_failed", "encode_at", "encoder", "failed", "members", "writers")

    def __init__(
        self,
        encoder: Encoder,
        batched_send: BatchedSend | None = None,
        on_failed: Callable[[EncodedGroup, Exception], None] | None = None,
    ) -> None:
        super().__init__(batched_send)
        self.encoder = encoder
        self.encode_at = encoder.encode_at
        self.members: dict[Subscriber, None] = {}
        self.writers: tuple[Callable[[bytes], None], ...] = ()
        self.failed = False
        self._on_failed = on_failed

    def join(self, listener: Subscriber) -> None:
        """Add a subscriber."""
        self.members[listener] = None
        if listener.send_queue is not None:
            self.add(listener.send_queue)
        self._choose_writers()

    def leave(self, listener: Subscriber) -> bool:
        """Remove a subscriber. Return True when no member is left."""
        self.members.pop(listener, None)
        # Two subscriptions of a connection may be members while one replaces the other.
        if listener.send_queue is not None and all(
            other.send_queue is not listener.send_queue for other in self.members
        ):
            self.discard(listener.send_queue)
        self._choose_writers()
        return not self.members

    def deliver(self, batch: bytes, at: int, end: int, now: float) -> int:
        """Encode the entry in batch[at:end], and write it to all members. Return the number of receivers."""
        encode_at = self.encode_at  # on a line of its own: CPython reads a slot fast, but calls its value slowly
        try:
            frame = encode_at(batch, at, end, now)
            if not frame:
                return 0
            return self.write_all(frame) if self.writers else self.write(frame)
        except Exception as error:  # a call's outermost boundary
            self.fail(error)
            return 0

    def replay(self, entries: Iterable[Entry], now: float) -> bytes:
        """Encode the replay buffer for a subscriber that joins."""
        try:
            return self.encoder.replay(entries, now)
        except Exception as error:  # a call's outermost boundary
            self.fail(error)
            return b""

    def fail(self, error: Exception) -> None:
        """Stop encoding for good, and call `on_failed`."""
        self.failed = True
        self.encoder = NoEncoder()
        self.encode_at = self.encoder.encode_at
        if self._on_failed is not None:
            self._on_failed(self, error)

    def write_all(self, frame: bytes) -> int:
        """Write an encoded frame to all members. Return their number."""
        delivered = self.write(frame)
        for write in self.writers:
            write(frame)
            delivered += 1
        return delivered

    def flush(self) -> None:
        """Write the audio that the encoder holds back, after the stream has ended."""
        try:
            if frames := self.encoder.flush():
                self.write_all(frames)
        except Exception as error:  # a call's outermost boundary
            self.fail(error)

    def clear(self) -> None:
        """Remove all members."""
        for send_queue in self.send_queues:
            self.discard(send_queue)
        self.members.clear()
        self.writers = ()

    def _choose_writers(self) -> None:
        self.writers = tuple(member.write for member in self.members if member.send_queue is None)


class BinaryEncoder(Encoder):
    """Encodes one track as µ-law in binary messages."""

    def __init__(self, media_format: MediaFormat, on_undecodable: Callable[[], None]) -> None:
        self._to_ulaw = Transcoder.for_format(media_format, on_undecodable).to_ulaw

    def encode(self, entry: Entry, now: float) -> bytes:
        return _binary_frames(self._to_ulaw(entry.payload, now))


class UlawEncoder(Encoder):
    """Encodes one track of a PCMU call without transcoding: the usual case."""

    @staticmethod  # one function for all calls: the routine in C compares it
    def encode_at(batch: bytes, at: int, end: int, now: float) -> bytes:
        payload = batch[at + ENTRY_BYTES : end]
        return FRAME_HEADER + payload if len(payload) == FRAME_BYTES else _binary_frames(payload or SILENT_FRAME)

    def encode(self, entry: Entry, now: float) -> bytes:
        return _binary_frames(entry.payload or SILENT_FRAME)


class MixEncoder(Encoder):
    """Mixes both tracks into one, as µ-law in binary messages, for clients that play one track."""

    def __init__(self, media_format: MediaFormat, on_undecodable: Callable[[], None]) -> None:
        self._transcoders = [Transcoder.for_format(media_format, on_undecodable) for _ in TRACKS]
        self._mixer = Mixer()

    def encode(self, entry: Entry, now: float) -> bytes:
        ulaw = self._transcoders[entry.track].to_ulaw(entry.payload, now)
        return b"".join(map(_binary_frames, self._mixer.push(TRACKS[entry.track], ulaw, now)))

    def flush(self) -> bytes:
        return b"".join(map(_binary_frames, self._mixer.flush()))


class JsonEncoder(Encoder):
    """Encodes audio as JSON, in the call's own codec, with the numbers that Telnyx gave to each frame."""

    def __init__(self, media_format: MediaFormat, stream_id: str | None) -> None:
        self._codec = media_format.encoding
        self._stream_id = stream_id

    def encode(self, entry: Entry, now: float) -> bytes:
        return text_frame(
            legacy.media_json(
                _given(entry.sequence_number, NO_NUMBER),
                self._stream_id,
                TRACKS[entry.track],
                _given(entry.chunk, NO_NUMBER),
                _given(entry.timestamp, NO_TIMESTAMP),
                entry.payload,
                self._codec,
            )
        )


def needs_decoding(key: EncodingKey, media_format: MediaFormat) -> bool:
    """Return whether the decoder process must transcode this format to µ-law before it is encoded."""
    form, _ = key
    if not needs_library(media_format) or form == "json":
        return False
    if form == "peaks":
        return measure_of(media_format) is None
    return form == "binary" or not v1.wire_format(media_format).as_it_is


def encoded_group(
    key: EncodingKey,
    media_format: MediaFormat,
    stream_id: str | None,
    number: int = 0,
    clock: IngestClock | None = None,
    batched_send: BatchedSend | None = None,
    *,
    on_undecodable: Callable[[], None] = lambda: None,
    on_failed: Callable[[EncodedGroup, Exception], None] | None = None,
) -> EncodedGroup:
    """Make the group of one encoding. It has failed already when the encoder can't be made.

    Args:
        media_format: format of the frames; PCMU where the decoder process has transcoded them.
        number: the number of the connection that carries the stream.
        clock: the time of the batch that is being delivered.
        batched_send: writes frames to the members.
        on_undecodable: called for each payload that can't be decoded.
        on_failed: called once, when the encoder has failed.
    """
    try:
        encoder = _make_encoder(key, media_format, stream_id, number, clock or IngestClock(), on_undecodable)
    except Exception as error:  # no such codec, or no library for it
        group = EncodedGroup(NoEncoder(), batched_send, on_failed)
        group.fail(error)
        return group
    return EncodedGroup(encoder, batched_send, on_failed)


def _make_encoder(
    key: EncodingKey,
    media_format: MediaFormat,
    stream_id: str | None,
    number: int,
    clock: IngestClock,
    on_undecodable: Callable[[], None],
) -> Encoder:
    form, tracks = key
    if form == "v1":
        return V1Encoder(media_format, number, clock)
    if form == "peaks":
        return PeakEncoder(media_format)
    if form == "json":
        return JsonEncoder(media_format, stream_id)
    if tracks == "both":
        return MixEncoder(media_format, on_undecodable)
    return UlawEncoder() if media_format == PCMU else BinaryEncoder(media_format, on_undecodable)


def _binary_frames(ulaw: bytes) -> bytes:
    if 0 < len(ulaw) <= FRAME_BYTES:
        return binary_frame(ulaw)
    return b"".join(binary_frame(ulaw[at : at + FRAME_BYTES]) for at in range(0, len(ulaw), FRAME_BYTES))


def _given(value: int, absent: int) -> int | None:
    return None if value == absent else value
