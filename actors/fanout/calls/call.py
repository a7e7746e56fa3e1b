"""One live call as fan-out knows it: its ingest process, its talker, and its audio
(`actors.fanout.calls.call_audio`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.fanout.calls.call_audio import CallAudio
from actors.fanout.calls.publisher_handover import PublisherHandover
from patchbay.protocol.batches import BRIDGE, ENTRY_BYTES, unpack_front
from patchbay.protocol.talk import talk_codec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.fanout.calls.publisher_handover import BatchFrame
    from patchbay.protocol.telnyx import Start


class Call(CallAudio):
    """A call with a live stream; a `LiveCall` for its subscribers.

    Attributes:
        talker, talker_sub: number of the connection that has the floor, and its `sub` where that is known.
        publisher_handover: decides which process's frames are delivered, while the stream moves.
        owner: (index, slot) of the ingest process that carries the call: the destination of talk.
        confirmed_at: when its ingest last said that it is live.
        talk_codec: the codec in which talk must reach the call.
    """

    __slots__ = ("confirmed_at", "owner", "publisher_handover", "talk_codec", "talker", "talker_sub")

    def __init__(
        self, digest: bytes, start: Start, number: int, owner: tuple[int, str], epoch: int, *, now: float, **audio: Any
    ) -> None:
        super().__init__(digest, start, number, **audio)
        self.owner = owner
        self.publisher_handover = PublisherHandover(epoch)
        self.confirmed_at = now
        self.talk_codec = talk_codec(start.media_format.encoding)
        self.talker: int | None = None
        self.talker_sub: str | None = None

    @property
    def is_remote(self) -> bool:
        """Return whether the stream comes to another node of the cluster."""
        return self.owner[0] == BRIDGE

    def set_floor(self, floor: dict[str, Any]) -> None:
        """Set the talker: `{"talker", "sub"?}`. Without `sub`, the `sub` of the same talker is kept."""
        is_new = floor["talker"] != self.talker
        self.talker = floor["talker"]
        if is_new or "sub" in floor:
            self.talker_sub = floor.get("sub")

    @property
    def repeated(self) -> int:
        """Return the number of frames that were dropped since they had been delivered before."""
        return sum(track.repeated for track in self.tracks)

    def deliver(self, frames: Iterable[BatchFrame], now: float, *, is_repeated: bool = False) -> int:
        """Deliver frames whose turn has come. Returns the number of receivers of all of them together.

        Args:
            is_repeated: drop frames that were delivered before.
        """
        return sum(self._deliver(batch, at, location, now, is_repeated) for batch, at, location in frames)

    def update(self, start: Start, number: int, owner: tuple[int, str], epoch: int) -> bool:
        """Take in another announcement of the call's stream. False: it is the same stream, with the same start
        frame."""
        self.owner = owner
        if number == self.number and start.digest == self.start.digest:
            return False
        self.flush()
        if number != self.number:
            for listener in self.listeners:
                listener.on_stopped(self, "superseded", b"")
            self.publisher_handover = PublisherHandover(epoch)
            self.talker = self.talker_sub = None
        self.replace_stream(start, number)
        self.talk_codec = talk_codec(start.media_format.encoding)
        return True

    def _deliver(self, batch: bytes, at: int, location: int, now: float, is_repeated: bool) -> int:
        _, track, position, length, _ = unpack_front(batch, at)
        return self.tracks[track].deliver(
            batch, at, at + ENTRY_BYTES + length, position, location, now, is_repeated=is_repeated
        )
