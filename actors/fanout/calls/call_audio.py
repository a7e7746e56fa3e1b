"""A call's audio: who hears it in which form, its replay buffer for those who join, and its decoding where a form needs that.

What is delivered goes by its lanes (`actors.fanout.calls.track`), each a track.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from actors.fanout.calls.encodings import Group, GroupKey, IngestClock, make_group, needs_decoding
from actors.fanout.calls.track import NOT_YET, Track
from actors.fanout.decoder.queue import DecodingQueue
from actors.fanout.decoder.stream import Decoding, DecodingFailed
from patchbay.audio.media_format import PCMU
from patchbay.protocol.batches import NO_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.calls.encodings import Encoder
    from actors.fanout.calls.replay_buffer import ReplayBuffer
    from actors.fanout.calls.subscriber import Person, Subscriber
    from actors.fanout.decoder.stream import Frame
    from patchbay.net.batched_send import BatchedSend
    from patchbay.protocol.telnyx import Start

log = logging.getLogger(__name__)

SHORTEST_FRAME_S: Final = 0.010
PLACES_MAX: Final = 500
_TRACKS_OF: Final = {"inbound": (0,), "outbound": (1,), "both": (0, 1), "none": ()}


class CallAudio:
    """The audio of one stream.

    Args:
        on_decoding: called when its frames are to be decoded from now on.

    Attributes:
        number: of the connection that carries the stream; a newer stream has a higher one.
        lanes: its tracks.
        decoding: what its frames go through, from when somebody wants them decoded until the stream has another format.
    """

    __slots__ = ("_batched_send", "_clock", "_counters", "_groups", "_hearing", "_on_decoding", "_places", "_queue", "_replay_buffer", "_replay_s", "_said_undecodable", "_strikes", "decoding", "digest", "lanes", "number", "start")  # fmt: skip

    def __init__(
        self,
        digest: bytes,
        start: Start,
        number: int,
        *,
        replay_s: float,
        replay_buffer: ReplayBuffer,
        clock: IngestClock | None = None,
        batched_send: BatchedSend | None = None,
        counters: Counter[str] | None = None,
        queue: DecodingQueue | None = None,
        on_decoding: Callable[[CallAudio], None] = lambda call_audio: None,
    ) -> None:
        self.digest = digest
        self.start, self.number = start, number
        self._replay_buffer = replay_buffer
        self._replay_s = replay_s
        self._clock = clock or IngestClock()
        self._batched_send = batched_send
        self._counters: Counter[str] = Counter() if counters is None else counters
        self._queue = queue or DecodingQueue()
        self._on_decoding = on_decoding
        self._strikes = 0
        self.decoding: Decoding | None = None
        self._said_undecodable = False
        self._groups: dict[GroupKey, Group] = {}
        self._hearing: list[list[tuple[Group, bool]]] = [[], []]  # by track, and whether decoded audio
        # No more of either track than can be wanted.
        places = min(PLACES_MAX, round(2 * replay_s / SHORTEST_FRAME_S))
        self._places: deque[int] = deque(maxlen=places)
        self.lanes = (Track(self._places), Track(self._places))

    @property
    def call_control_id(self) -> str:
        return self.start.call_control_id

    @property
    def listeners(self) -> list[Subscriber]:
        """Everybody who hears this call."""
        return [member for group in self._groups.values() for member in group.members]

    @property
    def people(self) -> list[Person]:
        """Who they are; the peaks' meter is nobody."""
        return [member.person for member in self.listeners if member.person is not None]

    def encoder(self, key: GroupKey) -> Encoder | None:
        """What makes this form of its audio, while somebody hears that."""
        group = self._groups.get(key)
        return None if group is None else group.encoder

    @property
    def last_positions(self) -> list[int]:
        """Of the last frames delivered, by track; -1: none."""
        if self.decoding is not None:
            return list(self.decoding.positions)
        return [-1 if lane.last_position == NOT_YET else lane.last_position for lane in self.lanes]

    def heard_by(self, listener: Subscriber) -> list[int]:
        """Up to where a listener has heard it, likewise."""
        group = self._groups.get(listener.key)
        if group is None or listener not in group.members:  # it has not been let in yet
            return list(listener.heard_before(self.number))
        return self.last_positions

    @property
    def is_decoding(self) -> bool:
        """Whether frames are being decoded that nobody has heard."""
        return self.decoding is not None and self.decoding.is_busy

    @property
    def is_readying(self) -> bool:
        """Whether its replay buffer are still being decoded."""
        return self.decoding is not None and self.decoding.replay_buffer > 0

    def is_behind(self, listener: Subscriber) -> bool:
        """Whether a predecessor has delivered frames to this listener that have not come here yet: it would hear them twice."""
        heard, here = listener.heard_before(self.number), self.last_positions
        return any(here[track] < heard[track] < NO_NUMBER for track in _TRACKS_OF[listener.key[1]])

    def prepare(self, key: GroupKey, now: float) -> None:
        """Have its frames decoded from now on, and its replay buffer, where this form needs that."""
        if self.decoding is None and key[1] != "none" and needs_decoding(key, self.start.media_format):
            replay_buffer = list(self._replay_buffer.entries(self._places))
            decoding = self._begin_decoding()
            for came, entry in replay_buffer:
                decoding.add(entry, came, now, is_moment=True)
            self._index()

    def join(self, listener: Subscriber, now: float) -> None:
        """Let a listener hear this call: its replay buffer at once, then what comes."""
        key = listener.key
        group = self._groups.get(key)
        if group is None or not group.failed:
            fresh = self._make_group(key)
            if (replay := self._replay(fresh, key, listener.heard_before(self.number), now)) != b"":
                listener.write_replay(replay)
            if group is None:
                group = self._groups[key] = fresh  # its codec and its mix go on from the replay buffer
                self._index()
        group.join(listener)
        if group.failed:
            listener.unheard(self)

    def leave(self, listener: Subscriber) -> None:
        """Let it hear no more."""
        group = self._groups.get(listener.key)
        if group is not None and group.leave(listener):
            del self._groups[listener.key]
            self._index()

    def hand_out(self) -> int:
        """Deliver the frames that have been decoded. Returns to how many, all together."""
        if self.decoding is None:
            return 0
        if self.decoding.failure:
            for key, group in self._groups.items():
                if not group.failed and needs_decoding(key, self.start.media_format):
                    group.fail(DecodingFailed(self.decoding.failure))
        return sum(map(self._hand_out, self.decoding.take()))

    def end(self) -> None:
        """The stream is over: listeners get what was held back of it."""
        for group in self._groups.values():
            group.end()

    def disband(self) -> None:
        """Nobody hears it any more."""
        for group in self._groups.values():
            group.disband()

    def carry(self, start: Start, number: int) -> None:
        """Go on with another stream, or with one that says something else of itself; with those who hear it."""
        if number != self.number:
            self.lanes = (Track(self._places), Track(self._places))
        self.start, self.number = start, number
        self._said_undecodable = False
        self._places.clear()  # what was said before may be in another codec
        self.stop_decoding()
        self._renew_groups()
        for key in self._groups:
            self.prepare(key, 0.0)  # there are no replay buffer

    def stop_decoding(self) -> None:
        """Let what has not been decoded go: the stream is over, or has another format."""
        if self.decoding is not None:
            self._strikes = self.decoding.strikes
            self.decoding.close()
            self.decoding = None
            for lane in self.lanes:
                lane.places = self._places

    def _begin_decoding(self) -> Decoding:
        decoding = Decoding(
            self._queue,
            self.digest,
            self.start.media_format,
            self._clock,
            self.last_positions,
            strikes=self._strikes,
            about=self._about,
            on_undecodable=self._undecodable,
        )
        self.decoding = decoding
        self._places.clear()
        for lane in self.lanes:
            lane.places = deque(maxlen=0)  # of frames before they are decoded
        self._on_decoding(self)
        return decoding

    def _hand_out(self, frame: Frame) -> int:
        """Keep and deliver one frame."""
        entries, second = frame.entries()
        self._places.append(self._replay_buffer.keep(entries, frame.came))
        if frame.is_moment:
            return 0
        self._clock.time_us = frame.time_us
        heard = 0
        for group, is_decoded in self._hearing[frame.entry.track]:
            at, end = (0, second) if is_decoded else (second, len(entries))
            heard += group.hear(entries, at, end, frame.came)
        return heard

    def _replay(self, group: Group, key: GroupKey, heard: list[int], now: float) -> bytes:
        """The replay buffer in one form, less what was heard before. Made with a new group's state, since a group that
        is there has a codec or a mix in a state of its own."""
        wanted = _TRACKS_OF[key[1]]
        # One that was handed over has heard all up to a certain frame, however long the move took.
        oldest = now - self._replay_s if max(heard) < 0 else float("-inf")
        as_it_came = self.decoding is not None and not needs_decoding(key, self.start.media_format)
        replay_buffer = self._replay_buffer.entries(self._places, second=as_it_came)
        recent = (entry for when, entry in replay_buffer if when >= oldest and entry.track in wanted)
        return group.replay((entry for entry in recent if entry.position > heard[entry.track]), now)

    def _renew_groups(self) -> None:
        members = {key: list(group.members) for key, group in self._groups.items()}
        self.disband()
        self._groups = {key: self._make_group(key) for key in members}
        for key, listeners in members.items():
            for listener in listeners:
                self._groups[key].join(listener)
                if self._groups[key].failed:
                    listener.unheard(self)
        self._index()

    def _make_group(self, key: GroupKey) -> Group:
        is_decoded = needs_decoding(key, self.start.media_format)
        group = make_group(
            key,
            PCMU if is_decoded else self.start.media_format,
            self.start.stream_id,
            self.number,
            self._clock,
            self._batched_send,
            on_undecodable=self._undecodable,
            on_failed=self._failed,
        )
        if is_decoded and self.decoding is not None and self.decoding.failure:
            group.fail(DecodingFailed(self.decoding.failure))
        return group

    def _undecodable(self) -> None:
        self._counters["frames_undecodable"] += 1
        if not self._said_undecodable:
            self._said_undecodable = True
            log.warning("undecodable audio: silence in its place", extra=self._about)

    def _failed(self, group: Group, error: Exception) -> None:
        """One form of this call can't be made any more."""
        self._counters["forms_failed"] += 1
        log.error("a form of this call's audio can't be made: %r", error, exc_info=error, extra=self._about)
        for listener in group.members:
            listener.unheard(self)

    @property
    def _about(self) -> dict[str, str]:
        return {"call_control_id": self.call_control_id, "codec": self.start.media_format.encoding}

    def _index(self) -> None:
        given = self.start.media_format
        for track, lane in enumerate(self.lanes):
            hearing = {key: group for key, group in self._groups.items() if track in _TRACKS_OF[key[1]]}
            self._hearing[track] = [(group, needs_decoding(key, given)) for key, group in hearing.items()]
            lane.groups = tuple(hearing.values()) if self.decoding is None else (self.decoding,)
