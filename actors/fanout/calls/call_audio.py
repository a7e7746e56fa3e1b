"""A call's audio: its subscribers by encoding, the replay for subscribers that join, and decoding where it is needed.

Frames come by way of `tracks` (`actors.fanout.calls.track`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from actors.fanout.calls.audio_faults import AudioFaults
from actors.fanout.calls.encodings import EncodedGroup, encoded_group, needs_decoding
from actors.fanout.calls.track import NO_POSITION, Track
from actors.fanout.decoder.stream import Decoding, DecodingFailed
from patchbay.audio.media_format import PCMU
from patchbay.protocol.batches import NO_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.calls.audio_context import AudioContext
    from actors.fanout.calls.encoder import Encoder
    from actors.fanout.calls.subscriber import EncodingKey, Participant, Subscriber
    from actors.fanout.decoder.stream import Frame
    from patchbay.protocol.telnyx import Start

SHORTEST_FRAME_S: Final = 0.010
LOCATIONS_MAX: Final = 500
_TRACKS_OF: Final = {"inbound": (0,), "outbound": (1,), "both": (0, 1), "none": ()}


class CallAudio:
    """The audio of one stream.

    Args:
        digest: of the call's id.
        context: shared by all calls.
        on_decoding: called when frames are decoded from now on.

    Attributes:
        number: of the connection that carries the stream; a newer stream has a higher one.
        tracks: inbound and outbound.
        decoding: decodes the frames; None as long as no subscriber needs that.
    """

    __slots__ = ("_by_track", "_context", "_faults", "_groups", "_locations", "_on_decoding", "_strikes", "decoding", "digest", "number", "start", "tracks")  # fmt: skip

    def __init__(
        self,
        digest: bytes,
        start: Start,
        number: int,
        context: AudioContext,
        *,
        on_decoding: Callable[[], None] = lambda: None,
    ) -> None:
        self.digest = digest
        self.start, self.number = start, number
        self._context = context
        self._on_decoding = on_decoding
        self._strikes = 0
        self.decoding: Decoding | None = None
        self._faults = self._new_faults()
        self._groups: dict[EncodingKey, EncodedGroup] = {}
        self._by_track: list[list[tuple[EncodedGroup, bool]]] = [[], []]  # whether the group needs decoded audio
        # No more locations than one track can fill in `replay_s`, for both tracks.
        locations = min(LOCATIONS_MAX, round(2 * context.replay_s / SHORTEST_FRAME_S))
        self._locations: deque[int] = deque(maxlen=locations)
        self.tracks = (Track(self._locations), Track(self._locations))

    @property
    def call_control_id(self) -> str:
        return self.start.call_control_id

    @property
    def listeners(self) -> list[Subscriber]:
        """Return all subscribers that get this call's audio."""
        return [member for group in self._groups.values() for member in group.members]

    @property
    def participants(self) -> list[Participant]:
        """Return the users' connections among the subscribers: all but the peak meter."""
        return [member.participant for member in self.listeners if member.participant is not None]

    def encoder(self, key: EncodingKey) -> Encoder | None:
        """Return the encoder of this encoding; None while nobody is subscribed to the encoding."""
        group = self._groups.get(key)
        return None if group is None else group.encoder

    @property
    def last_positions(self) -> list[int]:
        """Return the positions of the last frames delivered, by track; -1: none."""
        if self.decoding is not None:
            return list(self.decoding.positions)
        return [-1 if track.last_position == NO_POSITION else track.last_position for track in self.tracks]

    def positions_of(self, subscriber: Subscriber) -> list[int]:
        """Return the positions of the last frames that this subscriber got, by track; -1: none."""
        group = self._groups.get(subscriber.key)
        if group is None or subscriber not in group.members:  # it waits for frames to be decoded, or to come here
            return list(subscriber.delivered_before(self.number))
        return self.last_positions

    @property
    def is_decoding(self) -> bool:
        """Return whether frames are being decoded that have not been delivered."""
        return self.decoding is not None and self.decoding.is_busy

    @property
    def is_decoding_replay(self) -> bool:
        """Return whether frames of the replay buffer are being decoded."""
        return self.decoding is not None and self.decoding.replay_frames > 0

    def is_behind(self, subscriber: Subscriber) -> bool:
        """Return whether a predecessor delivered frames to this subscriber that have not come here yet; it would get
        them twice if it joined now."""
        before, here = subscriber.delivered_before(self.number), self.last_positions
        return any(here[track] < before[track] < NO_NUMBER for track in _TRACKS_OF[subscriber.key[1]])

    def prepare(self, key: EncodingKey, now: float) -> None:
        """Start to decode the frames, those of the replay buffer first, if this encoding needs that."""
        if self.decoding is None and key[1] != "none" and needs_decoding(key, self.start.media_format):
            replay = list(self._context.replay_buffer.entries(self._locations))
            decoding = self._start_decoding()
            for came, entry in replay:
                decoding.add(entry, came, now, is_replay=True)
            self._set_targets()

    def join(self, subscriber: Subscriber, now: float) -> None:
        """Add a subscriber: it gets the replay buffer at once, and each frame from now on."""
        key = subscriber.key
        group = self._groups.get(key)
        if group is None or not group.failed:
            fresh = self._make_group(key)
            if (replay := self._replay(fresh, key, subscriber.delivered_before(self.number), now)) != b"":
                subscriber.write_replay(replay)
            if group is None:
                group = self._groups[key] = fresh  # its codec and its mixer continue from the replay buffer
                self._set_targets()
        self._add(group, subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        group = self._groups.get(subscriber.key)
        if group is not None and group.leave(subscriber):
            del self._groups[subscriber.key]
            self._set_targets()

    def deliver_decoded(self) -> int:
        """Deliver the frames that have been decoded. Returns the number of receivers of all of them together."""
        if self.decoding is None:
            return 0
        if self.decoding.failure:
            for key, group in self._groups.items():
                if not group.failed and needs_decoding(key, self.start.media_format):
                    group.fail(DecodingFailed(self.decoding.failure))
        return sum(map(self._deliver_decoded, self.decoding.take_finished()))

    def flush(self) -> None:
        """Send the audio that encoders hold back: the stream has ended."""
        for group in self._groups.values():
            group.flush()

    def clear(self) -> None:
        """Remove all subscribers."""
        for group in self._groups.values():
            group.clear()

    def replace_stream(self, start: Start, number: int) -> None:
        """Go on with another stream, or with another start frame of the same stream. Subscribers stay."""
        if number != self.number:
            self.tracks = (Track(self._locations), Track(self._locations))
        self.start, self.number = start, number
        self._locations.clear()  # those frames may be in another codec
        self.stop_decoding()
        self._faults = self._new_faults()
        self._renew_groups()
        for key in self._groups:
            self.prepare(key, 0.0)  # the replay buffer has no frames of this call now

    def stop_decoding(self) -> None:
        """Discard the frames that have not been decoded: the stream has ended, or has another format."""
        if self.decoding is not None:
            self._strikes = self.decoding.strikes
            self.decoding.close()
            self.decoding = None
            for track in self.tracks:
                track.locations = self._locations

    def _start_decoding(self) -> Decoding:
        decoding = Decoding(
            self._context.queue,
            self.digest,
            self.start.media_format,
            self._context.clock,
            self.last_positions,
            strikes=self._strikes,
            log_fields=self._faults.log_fields,
            on_undecodable=self._faults.on_undecodable,
        )
        self.decoding = decoding
        self._locations.clear()
        for track in self.tracks:
            track.locations = deque(maxlen=0)  # the decoded frames are kept instead
        self._on_decoding()
        return decoding

    def _deliver_decoded(self, frame: Frame) -> int:
        """Keep one frame in the replay buffer, and deliver it."""
        entries, second = frame.entries()
        self._locations.append(self._context.replay_buffer.keep(entries, frame.came))
        if frame.is_replay:
            return 0
        self._context.clock.time_us = frame.time_us
        delivered = 0
        for group, is_decoded in self._by_track[frame.entry.track]:
            at, end = (0, second) if is_decoded else (second, len(entries))
            delivered += group.deliver(entries, at, end, frame.came)
        return delivered

    def _replay(self, group: EncodedGroup, key: EncodingKey, before: list[int], now: float) -> bytes:
        """Encode the replay buffer, without the frames that a predecessor delivered (`before`: positions, by track).

        Made by a new group, since the codec or the mixer of the group that subscribers are in has a state of its own.
        """
        # A connection that was handed over has got all frames up to a position, however long the hand-over took.
        oldest = now - self._context.replay_s if max(before) < 0 else float("-inf")
        undecoded = self.decoding is not None and not needs_decoding(key, self.start.media_format)
        entries = self._context.replay_buffer.entries(self._locations, second=undecoded)
        tracks = _TRACKS_OF[key[1]]
        recent = (each for came, each in entries if came >= oldest and each.track in tracks)
        return group.replay((each for each in recent if each.position > before[each.track]), now)

    def _renew_groups(self) -> None:
        members = {key: list(group.members) for key, group in self._groups.items()}
        self.clear()
        self._groups = {key: self._make_group(key) for key in members}
        for key, subscribers in members.items():
            for subscriber in subscribers:
                self._add(self._groups[key], subscriber)
        self._set_targets()

    def _add(self, group: EncodedGroup, subscriber: Subscriber) -> None:
        group.join(subscriber)
        if group.failed:
            subscriber.on_unavailable(self.start.media_format.encoding)

    def _make_group(self, key: EncodingKey) -> EncodedGroup:
        is_decoded = needs_decoding(key, self.start.media_format)
        group = encoded_group(
            key,
            PCMU if is_decoded else self.start.media_format,
            self.start.stream_id,
            self.number,
            self._context.clock,
            self._context.batched_send,
            on_undecodable=self._faults.on_undecodable,
            on_failed=self._on_failed,
        )
        if is_decoded and self.decoding is not None and self.decoding.failure:
            group.fail(DecodingFailed(self.decoding.failure))
        return group

    def _on_failed(self, group: EncodedGroup, error: Exception) -> None:
        self._faults.on_failed(error)
        for subscriber in group.members:
            subscriber.on_unavailable(self.start.media_format.encoding)

    def _new_faults(self) -> AudioFaults:
        return AudioFaults(self._context.counters, self.call_control_id, self.start.media_format.encoding)

    def _set_targets(self) -> None:
        """Set the targets of each track: its groups, or the decoding of the stream."""
        given = self.start.media_format
        for index, track in enumerate(self.tracks):
            groups = {key: group for key, group in self._groups.items() if index in _TRACKS_OF[key[1]]}
            self._by_track[index] = [(group, needs_decoding(key, given)) for key, group in groups.items()]
            track.groups = tuple(groups.values()) if self.decoding is None else (self.decoding,)
