"""The hot path of fan-out: one track of one call, from the bus to those who hear it.

As in `actors.ingest.media_reader`, a frame's price is what must be fetched from memory for it: so all that it needs lies in
few small objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from patchbay.protocol.batches import AGAIN, AUDIO, ENTRY_BYTES, NO_NUMBER, unpack_front

if TYPE_CHECKING:
    from collections import deque

    from actors.fanout.calls.call import Call

NOT_YET: Final = 1 << 32  # more than any position, so that the first frame is looked at closely
FLAGS_HIGH: Final = 3  # where the upper byte of an entry's flags is
_NO_LANES: Final[tuple[dict[int, Track], ...]] = ({}, {})


class Target(Protocol):
    """Where a lane's frames go: a group of listeners, or what decodes them first."""

    def hear(self, batch: bytes, at: int, end: int, now: float) -> int:
        """Deliver the entry in these bytes of a batch. Returns to how many."""


class Track:
    """One track.

    Attributes:
        last_position: of the last frame delivered, or NOT_YET.
        groups: who hears it, by form.
        places: where its frames are (`actors.fanout.calls.replay_buffer`), in the order of delivery.
        repeated: frames that had been delivered before: a restarted ingest reads again what was not taken.
    """

    __slots__ = ("groups", "last_position", "places", "repeated")

    def __init__(self, places: deque[int]) -> None:
        self.groups: tuple[Target, ...] = ()
        self.last_position = NOT_YET
        self.places = places
        self.repeated = 0

    def deliver(
        self, batch: bytes, at: int, end: int, position: int, place: int, now: float, *, again: bool = False
    ) -> int:
        """Deliver one frame: the entry in these bytes of a batch. Returns to how many.

        A frame that ingest has marked as read again is delivered only if that was not done before; every other is new.

        Args:
            again: judge it as one that was marked.
        """
        if self.last_position < position < NO_NUMBER:
            self.last_position = position
        elif not self._is_new(position, again or bool(batch[at + FLAGS_HIGH] & AGAIN >> 8)):
            self.repeated += 1
            return 0
        self.places.append(place)
        heard = 0
        for group in self.groups:
            heard += group.hear(batch, at, end, now)
        return heard

    def _is_new(self, position: int, again: bool) -> bool:
        if again and (self.last_position == NOT_YET or position != NO_NUMBER):
            return False
        if position != NO_NUMBER:
            self.last_position = position
        return True


def deliver_audio(
    batch: bytes, at: int, place: int, tracks: tuple[dict[int, Track], ...], now: float, *, again: bool = False
) -> tuple[int, int]:
    """Deliver the entries that begin there, as long as they are audio of these lanes.

    Args:
        place: where the batch is kept.
        tracks: see `TrackIndex.of`.
        again: only those that were not delivered before.

    Returns:
        Where the first entry begins that is another, or cut short; and to how many frames went, all together.
    """
    heard, size = 0, len(batch)
    while at + ENTRY_BYTES <= size:
        kind, track, position, length, stream = unpack_front(batch, at)
        end = at + ENTRY_BYTES + length
        if kind != AUDIO or end > size or track >= len(tracks) or (lane := tracks[track].get(stream)) is None:
            break
        heard += lane.deliver(batch, at, end, position, place + at, now, again=again)
        at = end
    return at, heard


Deliver = Callable[[bytes, int, int, tuple[dict[int, Track], ...], float], tuple[int, int]]  # as `deliver_audio` does


class TrackIndex:
    """Of all calls, each where the frames of the process that speaks for its stream are looked up."""

    def __init__(self) -> None:
        self._by_epoch: dict[int, tuple[dict[int, Track], ...]] = {}
        self._filed: dict[Call, tuple[int, int]] = {}  # epoch and stream

    def of(self, epoch: int) -> tuple[dict[int, Track], ...]:
        """Those that this process feeds: of each track, by stream. Valid until a call is filed or forgotten."""
        return self._by_epoch.get(epoch, _NO_LANES)

    def file(self, call: Call) -> None:
        """A call is new, has another stream, or another process speaks for it. One whose audio is being decoded is not found
        here, since each of its frames must be looked at."""
        self.forget(call)
        if call.decoding is not None:
            return
        epoch = call.publisher_handover.epoch
        self._filed[call] = epoch, call.number
        for lanes, lane in zip(self._by_epoch.setdefault(epoch, ({}, {})), call.lanes, strict=True):
            lanes[call.number] = lane

    def forget(self, call: Call) -> None:
        """A call is over."""
        epoch, number = self._filed.pop(call, (0, 0))
        tracks = self.of(epoch)
        for lanes in tracks:
            lanes.pop(number, None)
        if not any(tracks):
            self._by_epoch.pop(epoch, None)
