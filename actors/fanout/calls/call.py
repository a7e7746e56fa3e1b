"""One live call as fan-out sees it: its format, who listens in which form, and its replay buffer for those who join.

What it delivers goes by its lanes (`actors.fanout.calls.track`), each a track.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from actors.fanout.calls.encodings import Group, GroupKey, IngestClock, make_group
from actors.fanout.calls.publisher_handover import PublisherHandover
from actors.fanout.calls.track import NOT_YET, Track
from patchbay.protocol.batches import ENTRY_BYTES, NO_NUMBER, unpack_front
from patchbay.protocol.talk import talk_codec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.fanout.calls.encodings import Encoder
    from actors.fanout.calls.publisher_handover import Placed
    from actors.fanout.calls.replay_buffer import ReplayBuffer
    from actors.fanout.calls.subscriber import Person, Subscriber
    from patchbay.net.batched_send import BatchedSend
    from patchbay.protocol.telnyx import Start

log = logging.getLogger(__name__)

SHORTEST_FRAME_S: Final = 0.010
PLACES_MAX: Final = 500
_TRACKS_OF: Final = {"inbound": (0,), "outbound": (1,), "both": (0, 1), "none": ()}


class Call:
    """A call with a live stream.

    Attributes:
        number: of the connection that carries the stream; a newer stream has a higher one.
        talker, talker_sub: the connection that has the floor, and whose it is where that is known.
        publisher_handover: which process's frames are delivered, while the stream moves from one to another.
        owner: (index, slot) of the ingest process that carries it: where talk goes.
        confirmed_at: when its ingest last said that it is live.
        talk_codec: in which talk into it is to come.
        lanes: its tracks.
    """

    __slots__ = ("_batched_send", "_clock", "_counters", "_groups", "_places", "_replay_buffer", "_replay_s", "_said_undecodable", "confirmed_at", "digest", "lanes", "number", "owner", "publisher_handover", "start", "talk_codec", "talker", "talker_sub")  # fmt: skip

    def __init__(
        self,
        digest: bytes,
        start: Start,
        number: int,
        owner: tuple[int, str],
        epoch: int,
        *,
        now: float,
        replay_s: float,
        replay_buffer: ReplayBuffer,
        clock: IngestClock | None = None,
        batched_send: BatchedSend | None = None,
        counters: Counter[str] | None = None,
    ) -> None:
        self.digest = digest
        self._carries(start, number)
        self.owner = owner
        self.publisher_handover = PublisherHandover(epoch)
        self.confirmed_at = now
        self.talker: int | None = None
        self.talker_sub: str | None = None
        self._replay_buffer = replay_buffer
        self._replay_s = replay_s
        self._clock = clock or IngestClock()
        self._batched_send = batched_send
        self._counters: Counter[str] = Counter() if counters is None else counters
        self._said_undecodable = False
        self._groups: dict[GroupKey, Group] = {}
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

    def take_floor(self, news: dict[str, Any]) -> None:
        """Somebody may talk now: `{"talker", "sub"?}`."""
        is_new = news["talker"] != self.talker
        self.talker = news["talker"]
        if is_new or "sub" in news:
            self.talker_sub = news.get("sub")

    @property
    def last_positions(self) -> list[int]:
        """Of the last frames delivered, by track; -1: none."""
        return [-1 if lane.last_position == NOT_YET else lane.last_position for lane in self.lanes]

    @property
    def repeated(self) -> int:
        """Frames that had been delivered before."""
        return sum(lane.repeated for lane in self.lanes)

    def is_behind(self, listener: Subscriber) -> bool:
        """Whether a predecessor has delivered frames to this listener that have not come here yet: it would hear them twice."""
        heard, here = listener.heard_before(self.number), self.last_positions
        return any(here[track] < heard[track] < NO_NUMBER for track in _tracks_of(listener.key))

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

    def deliver(self, frames: Iterable[Placed], now: float, *, again: bool = False) -> int:
        """Deliver frames whose turn it is now; `again`: only those that were not delivered before. Returns to how many, all
        together."""
        return sum(self._deliver(batch, at, place, now, again) for batch, at, place in frames)

    def renew(self, start: Start, number: int, owner: tuple[int, str], epoch: int) -> bool:
        """The call's stream was announced again. True when it is another stream than before, or says something else."""
        self.owner = owner
        if number == self.number and start.digest == self.start.digest:
            return False
        self.end()
        if number != self.number:
            for listener in self.listeners:
                listener.ends(self, "superseded", b"")
            self.publisher_handover = PublisherHandover(epoch)
            self.talker = self.talker_sub = None
            self.lanes = (Track(self._places), Track(self._places))
        self._carries(start, number)
        self._places.clear()  # what was said before may be in another codec
        self._renew_groups()
        return True

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

    def end(self) -> None:
        """The stream is over: listeners get what was held back of it."""
        for group in self._groups.values():
            group.end()

    def disband(self) -> None:
        """Nobody hears it any more."""
        for group in self._groups.values():
            group.disband()

    def _carries(self, start: Start, number: int) -> None:
        self.start, self.number = start, number
        self._said_undecodable = False
        self.talk_codec = talk_codec(start.media_format.encoding)

    def _deliver(self, batch: bytes, at: int, place: int, now: float, again: bool) -> int:
        _, track, position, length, _ = unpack_front(batch, at)
        return self.lanes[track].deliver(batch, at, at + ENTRY_BYTES + length, position, place, now, again=again)

    def _replay(self, group: Group, key: GroupKey, heard: list[int], now: float) -> bytes:
        """The replay buffer in one form, less what was heard before. Made with a new group's state, since a group that
        is there has a codec or a mix in a state of its own."""
        wanted = _tracks_of(key)
        # One that was handed over has heard all up to a certain frame, however long the move took.
        oldest = now - self._replay_s if max(heard) < 0 else float("-inf")
        replay_buffer = self._replay_buffer.entries(self._places)
        recent = (entry for when, entry in replay_buffer if when >= oldest and entry.track in wanted)
        return group.replay((entry for entry in recent if entry.position > heard[entry.track]), now)

    def _make_group(self, key: GroupKey) -> Group:
        return make_group(
            key,
            self.start.media_format,
            self.start.stream_id,
            self.number,
            self._clock,
            self._batched_send,
            on_undecodable=self._undecodable,
            on_failed=self._failed,
        )

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
        for track, lane in enumerate(self.lanes):
            lane.groups = tuple(group for key, group in self._groups.items() if track in _tracks_of(key))


def _tracks_of(key: GroupKey) -> tuple[int, ...]:
    return _TRACKS_OF[key[1]]
