"""Listeners of one call that want the same form of its audio: the form is made once and written to each.

A group knows the call's format and who is in it; where frames come from, and what else listeners are sent, is
`actors.fanout.calls.registry`'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

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

    from actors.fanout.calls.subscriber import Subscriber
    from patchbay.audio.media_format import MediaFormat
    from patchbay.net.batched_send import BatchedSend
    from patchbay.protocol.batches import Entry

FRAME_BYTES: Final = 160  # a binary message holds 20 ms at most, whatever Telnyx put into one
SILENT_FRAME: Final = SILENCE_ULAW * FRAME_BYTES  # in place of a payload that holds nothing
FRAME_HEADER: Final = binary_frame(bytes(FRAME_BYTES))[:-FRAME_BYTES]
# Form and tracks. "peaks" is how loud it is, which is fetched and not written; "none" is no audio at all.
GroupKey = tuple[Literal["binary", "json", "v1", "peaks"], Literal["inbound", "outbound", "both", "none"]]

__all__ = ["Encoder", "Group", "GroupKey", "IngestClock", "make_group"]


class Group(Targets):
    """Who listens to a call in one form. Those who get the form as it is are its targets.

    A form whose making fails, by a fault of ours or of a library, is heard no more; other forms and calls go on.

    Args:
        on_failed: called then, once.

    Attributes:
        writers: the other members' `write`.
        failed: it makes nothing any more.
    """

    __slots__ = ("_on_failed", "encode_at", "encoder", "failed", "members", "writers")

    def __init__(
        self,
        encoder: Encoder,
        batched_send: BatchedSend | None = None,
        on_failed: Callable[[Group, Exception], None] | None = None,
    ) -> None:
        super().__init__(batched_send)
        self.encoder = encoder
        self.encode_at = encoder.encode_at
        self.members: dict[Subscriber, None] = {}
        self.writers: tuple[Callable[[bytes], None], ...] = ()
        self.failed = False
        self._on_failed = on_failed

    def join(self, listener: Subscriber) -> None:
        """Let a listener hear this."""
        self.members[listener] = None
        if listener.send_queue is not None:
            self.add(listener.send_queue)
        self._choose_writers()

    def leave(self, listener: Subscriber) -> bool:
        """Let it not. True when nobody is left."""
        self.members.pop(listener, None)
        # Two subscriptions of a connection may be here while one takes the other's place.
        if listener.send_queue is not None and all(
            other.send_queue is not listener.send_queue for other in self.members
        ):
            self.discard(listener.send_queue)
        self._choose_writers()
        return not self.members

    def hear(self, batch: bytes, at: int, end: int, now: float) -> int:
        """Deliver the entry in these bytes of a batch. Returns to how many."""
        encode_at = self.encode_at  # by itself: to read a slot is fast, to call what is in one is not
        try:
            frame = encode_at(batch, at, end, now)
            if not frame:
                return 0
            return self.deliver(frame) if self.writers else self.write(frame)
        except Exception as error:  # a call's outermost boundary: whatever goes wrong in one ends here
            self.fail(error)
            return 0

    def replay(self, entries: Iterable[Entry], now: float) -> bytes:
        """Make what is sent of the replay buffer to one that joins."""
        try:
            return self.encoder.replay(entries, now)
        except Exception as error:  # likewise
            self.fail(error)
            return b""

    def fail(self, error: Exception) -> None:
        """Make nothing any more."""
        self.failed = True
        self.encoder = NoEncoder()
        self.encode_at = self.encoder.encode_at
        if self._on_failed is not None:
            self._on_failed(self, error)

    def deliver(self, frame: bytes) -> int:
        """Write a frame of this form to all. Returns how many they are."""
        heard = self.write(frame)
        for write in self.writers:
            write(frame)
            heard += 1
        return heard

    def end(self) -> None:
        """The stream is over: write what was held back."""
        try:
            if frames := self.encoder.flush():
                self.deliver(frames)
        except Exception as error:  # likewise
            self.fail(error)

    def disband(self) -> None:
        """Nobody hears this any more."""
        for send_queue in self.send_queues:
            self.discard(send_queue)
        self.members.clear()
        self.writers = ()

    def _choose_writers(self) -> None:
        self.writers = tuple(member.write for member in self.members if member.send_queue is None)


class BinaryEncoder(Encoder):
    """One track as raw µ-law bytes."""

    def __init__(self, media_format: MediaFormat, on_undecodable: Callable[[], None]) -> None:
        self._to_ulaw = Transcoder.for_format(media_format, on_undecodable).to_ulaw

    def encode(self, entry: Entry, now: float) -> bytes:
        return _binary_frames(self._to_ulaw(entry.payload, now))


class UlawEncoder(Encoder):
    """One track of a PCMU call as it is: the usual case, and the cheapest."""

    @staticmethod  # so that all calls share it, and it is at hand
    def encode_at(batch: bytes, at: int, end: int, now: float) -> bytes:
        payload = batch[at + ENTRY_BYTES : end]
        return FRAME_HEADER + payload if len(payload) == FRAME_BYTES else _binary_frames(payload or SILENT_FRAME)

    def encode(self, entry: Entry, now: float) -> bytes:
        return _binary_frames(entry.payload or SILENT_FRAME)


class MixEncoder(Encoder):
    """Both tracks in one, as raw µ-law bytes, for clients that play whatever comes one after the other."""

    def __init__(self, media_format: MediaFormat, on_undecodable: Callable[[], None]) -> None:
        self._transcoders = [Transcoder.for_format(media_format, on_undecodable) for _ in TRACKS]
        self._mixer = Mixer()

    def encode(self, entry: Entry, now: float) -> bytes:
        ulaw = self._transcoders[entry.track].to_ulaw(entry.payload, now)
        return b"".join(map(_binary_frames, self._mixer.push(TRACKS[entry.track], ulaw, now)))

    def flush(self) -> bytes:
        return b"".join(map(_binary_frames, self._mixer.flush()))


class JsonEncoder(Encoder):
    """Text, in the call's own codec, with what Telnyx said of each piece."""

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


def needs_decoding(key: GroupKey, media_format: MediaFormat) -> bool:
    """Whether a form is made of audio of this format when that was decoded to µ-law, by a process of its own."""
    form, _ = key
    if not needs_library(media_format) or form == "json":
        return False
    if form == "peaks":
        return measure_of(media_format) is None
    return form == "binary" or not v1.wire_format(media_format).as_it_is


def make_group(
    key: GroupKey,
    media_format: MediaFormat,
    stream_id: str | None,
    number: int = 0,
    clock: IngestClock | None = None,
    batched_send: BatchedSend | None = None,
    *,
    on_undecodable: Callable[[], None] = lambda: None,
    on_failed: Callable[[Group, Exception], None] | None = None,
) -> Group:
    """Make the group of listeners that asked for this form and these tracks; one that has failed, where that can't be made.
    Where the form needs decoding, `media_format` is what it is decoded to: PCMU.

    Args:
        number: of the connection that carries the stream.
        clock: when ingest had what is being encoded.
        batched_send: what carries frames to its members.
        on_undecodable: called for each payload that can't be decoded.
    """
    try:
        encoder = _make_encoder(key, media_format, stream_id, number, clock or IngestClock(), on_undecodable)
    except Exception as error:  # no such codec, or no library that has it
        group = Group(NoEncoder(), batched_send, on_failed)
        group.fail(error)
        return group
    return Group(encoder, batched_send, on_failed)


def _make_encoder(
    key: GroupKey,
    media_format: MediaFormat,
    stream_id: str | None,
    number: int,
    clock: IngestClock,
    on_undecodable: Callable[[], None],
) -> Encoder:
    wanted, track = key
    if wanted == "v1":
        return V1Encoder(media_format, number, clock)
    if wanted == "peaks":
        return PeakEncoder(media_format)
    if wanted == "json":
        return JsonEncoder(media_format, stream_id)
    if track == "both":
        return MixEncoder(media_format, on_undecodable)
    return UlawEncoder() if media_format == PCMU else BinaryEncoder(media_format, on_undecodable)


def _binary_frames(ulaw: bytes) -> bytes:
    if 0 < len(ulaw) <= FRAME_BYTES:
        return binary_frame(ulaw)
    return b"".join(binary_frame(ulaw[at : at + FRAME_BYTES]) for at in range(0, len(ulaw), FRAME_BYTES))


def _given(value: int, absent: int) -> int | None:
    return None if value == absent else value
