"""One live call as fan-out sees it: which process speaks for it, who talks into it, and its audio (`actors.fanout.calls.call_audio`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.fanout.calls.call_audio import CallAudio
from actors.fanout.calls.publisher_handover import PublisherHandover
from patchbay.protocol.batches import ENTRY_BYTES, unpack_front
from patchbay.protocol.talk import talk_codec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.fanout.calls.publisher_handover import Placed
    from patchbay.protocol.telnyx import Start


class Call(CallAudio):
    """A call with a live stream.

    Attributes:
        talker, talker_sub: the connection that has the floor, and whose it is where that is known.
        publisher_handover: which process's frames are delivered, while the stream moves from one to another.
        owner: (index, slot) of the ingest process that carries it: where talk goes.
        confirmed_at: when its ingest last said that it is live.
        talk_codec: in which talk into it is to come.
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

    def take_floor(self, news: dict[str, Any]) -> None:
        """Somebody may talk now: `{"talker", "sub"?}`."""
        is_new = news["talker"] != self.talker
        self.talker = news["talker"]
        if is_new or "sub" in news:
            self.talker_sub = news.get("sub")

    @property
    def repeated(self) -> int:
        """Frames that had been delivered before."""
        return sum(lane.repeated for lane in self.lanes)

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
        self.carry(start, number)
        self.talk_codec = talk_codec(start.media_format.encoding)
        return True

    def _deliver(self, batch: bytes, at: int, place: int, now: float, again: bool) -> int:
        _, track, position, length, _ = unpack_front(batch, at)
        return self.lanes[track].deliver(batch, at, at + ENTRY_BYTES + length, position, place, now, again=again)
