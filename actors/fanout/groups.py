"""Listeners of one call that want the same form of its audio: the form is made once and written to each.

A group knows the call's format and who is in it; where frames come from, and what else listeners are sent, is
`actors.fanout.calls`'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from actors.fanout.encoder import Encoder, IngestClock
from actors.fanout.mixer import Mixer
from actors.fanout.peaks import PeakEncoder
from actors.fanout.transcode import Transcoder
from actors.fanout.v1_frames import V1Encoder
from actors.runtime.volley import Targets
from actors.wire import browser
from actors.wire.bus import ENTRY_BYTES, NO_NUMBER, NO_TIMESTAMP, TRACKS
from actors.wire.websocket import binary_frame, text_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.hearer import Hearer
    from actors.runtime.volley import Volley
    from actors.wire.bus import Entry
    from actors.wire.media_format import MediaFormat

FRAME_BYTES: Final = 160  # a binary message holds 20 ms at most, whatever Telnyx put into one
FRAME_HEADER: Final = binary_frame(bytes(FRAME_BYTES))[:-FRAME_BYTES]
# Form and tracks. "peaks" is how loud it is, which is fetched and not written; "none" is no audio at all.
GroupKey = tuple[Literal["binary", "json", "v1", "peaks"], Literal["inbound", "outbound", "both", "none"]]

__all__ = ["Encoder", "Group", "GroupKey", "IngestClock", "make_group"]


class Group(Targets):
    """Who listens to a call in one form. Those who get the form as it is are its targets.

    Attributes:
        writers: the other members' `write`.
    """

    __slots__ = ("_flush", "encode_at", "encoder", "members", "writers")

    def __init__(self, encoder: Encoder, volley: Volley | None = None) -> None:
        super().__init__(volley)
        self.encoder = encoder
        self.encode_at = encoder.encode_at
        self._flush = encoder.flush
        self.members: dict[Hearer, None] = {}
        self.writers: tuple[Callable[[bytes], None], ...] = ()

    def join(self, listener: Hearer) -> None:
        """Let a listener hear this."""
        self.members[listener] = None
        if listener.outbox is not None:
            self.add(listener.outbox)
        self._choose_writers()

    def leave(self, listener: Hearer) -> bool:
        """Let it not. True when nobody is left."""
        self.members.pop(listener, None)
        # Two subscriptions of a connection may be here while one takes the other's place.
        if listener.outbox is not None and all(other.outbox is not listener.outbox for other in self.members):
            self.discard(listener.outbox)
        self._choose_writers()
        return not self.members

    def hear(self, batch: bytes, at: int, end: int, now: float) -> int:
        """Deliver the entry in these bytes of a batch. Returns to how many."""
        encode_at = self.encode_at  # by itself: to read a slot is fast, to call what is in one is not
        frame = encode_at(batch, at, end, now)
        if not frame:
            return 0
        return self.deliver(frame) if self.writers else self.write(frame)

    def deliver(self, frame: bytes) -> int:
        """Write a frame of this form to all. Returns how many they are."""
        heard = self.write(frame)
        for write in self.writers:
            write(frame)
            heard += 1
        return heard

    def end(self) -> None:
        """The stream is over: write what was held back."""
        if frames := self._flush():
            self.deliver(frames)

    def disband(self) -> None:
        """Nobody hears this any more."""
        for outbox in self.outboxes:
            self.discard(outbox)
        self.members.clear()
        self.writers = ()

    def _choose_writers(self) -> None:
        self.writers = tuple(member.write for member in self.members if member.outbox is None)


class BinaryEncoder(Encoder):
    """One track as raw µ-law bytes."""

    def __init__(self, media_format: MediaFormat) -> None:
        self._to_ulaw = Transcoder.for_format(media_format).to_ulaw

    def encode(self, entry: Entry, now: float) -> bytes:
        return _binary_frames(self._to_ulaw(entry.payload))


class UlawEncoder(Encoder):
    """One track of a PCMU call as it is: the usual case, and the cheapest."""

    @staticmethod  # so that all calls share it, and it is at hand
    def encode_at(batch: bytes, at: int, end: int, now: float) -> bytes:
        payload = batch[at + ENTRY_BYTES : end]
        return FRAME_HEADER + payload if len(payload) == FRAME_BYTES else _binary_frames(payload)

    def encode(self, entry: Entry, now: float) -> bytes:
        return _binary_frames(entry.payload)


class MixEncoder(Encoder):
    """Both tracks in one, as raw µ-law bytes, for clients that play whatever comes one after the other."""

    def __init__(self, media_format: MediaFormat) -> None:
        self._transcoders = [Transcoder.for_format(media_format) for _ in TRACKS]
        self._mixer = Mixer()

    def encode(self, entry: Entry, now: float) -> bytes:
        ulaw = self._transcoders[entry.track].to_ulaw(entry.payload)
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
            browser.media_json(
                _given(entry.sequence_number, NO_NUMBER),
                self._stream_id,
                TRACKS[entry.track],
                _given(entry.chunk, NO_NUMBER),
                _given(entry.timestamp, NO_TIMESTAMP),
                entry.payload,
                self._codec,
            )
        )


def make_group(
    key: GroupKey,
    media_format: MediaFormat,
    stream_id: str | None,
    number: int = 0,
    clock: IngestClock | None = None,
    volley: Volley | None = None,
) -> Group:
    """The group of listeners that asked for this form and these tracks.

    Args:
        number: of the connection that carries the stream.
        clock: when ingest had what is being encoded.
        volley: what carries frames to its members.
    """
    wanted, track = key
    encoder: Encoder
    if wanted == "v1":
        encoder = V1Encoder(media_format, number, clock or IngestClock())
    elif wanted == "peaks":
        encoder = PeakEncoder(media_format)
    elif wanted == "json":
        encoder = JsonEncoder(media_format, stream_id)
    elif track == "both":
        encoder = MixEncoder(media_format)
    else:
        plain = media_format.encoding == "PCMU" and media_format.sample_rate == 8000 and media_format.channels == 1
        encoder = UlawEncoder() if plain else BinaryEncoder(media_format)
    return Group(encoder, volley)


def _binary_frames(ulaw: bytes) -> bytes:
    if 0 < len(ulaw) <= FRAME_BYTES:
        return binary_frame(ulaw)
    return b"".join(binary_frame(ulaw[at : at + FRAME_BYTES]) for at in range(0, len(ulaw), FRAME_BYTES))


def _given(value: int, absent: int) -> int | None:
    return None if value == absent else value
