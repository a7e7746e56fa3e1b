"""The hot path of fan-out: delivers the frames of one track of one call, from the bus to its subscribers.

A frame costs what must be fetched from memory for it, as in `actors.ingest.stream.media_reader`; so the data that a
frame needs lies in few small objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from patchbay.protocol.batches import AUDIO, ENTRY_BYTES, NO_NUMBER, REPEATED, unpack_front

if TYPE_CHECKING:
    from collections import deque

NO_POSITION: Final = 1 << 32  # more than any position, so that the first frame takes the slow branch
FLAGS_HIGH: Final = 3  # offset of the upper byte of an entry's flags
_NO_TRACKS: Final[tuple[dict[int, Track], ...]] = ({}, {})


class Target(Protocol):
    """Gets a track's frames: a group of subscribers, or the decoding of the stream."""

    def deliver(self, batch: bytes, at: int, end: int, now: float) -> int:
        """Deliver the entry in these bytes of a batch. Returns the number of receivers."""


class Track:
    """One track of a call.

    Attributes:
        last_position: of the last frame delivered, or NO_POSITION.
        groups: the targets of its frames, one for each encoding.
        locations: locations of its frames in the replay buffer (`actors.fanout.calls.replay_buffer`), in the order of
            delivery.
        repeated: number of frames that were dropped since they had been delivered before: a restarted ingest reads
            frames again that were not acknowledged.
    """

    __slots__ = ("groups", "last_position", "locations", "repeated")

    def __init__(self, locations: deque[int]) -> None:
        self.groups: tuple[Target, ...] = ()
        self.last_position = NO_POSITION
        self.locations = locations
        self.repeated = 0

    def deliver(
        self, batch: bytes, at: int, end: int, position: int, location: int, now: float, *, is_repeated: bool = False
    ) -> int:
        """Deliver one frame: the entry in these bytes of a batch. Returns the number of receivers.

        A frame that ingest has marked as read again is dropped when it was delivered before; every other frame is new.

        Args:
            is_repeated: treat the frame as marked.
        """
        if self.last_position < position < NO_NUMBER:
            self.last_position = position
        elif not self._is_new(position, is_repeated or bool(batch[at + FLAGS_HIGH] & REPEATED >> 8)):
            self.repeated += 1
            return 0
        self.locations.append(location)
        delivered = 0
        for group in self.groups:
            delivered += group.deliver(batch, at, end, now)
        return delivered

    def _is_new(self, position: int, is_repeated: bool) -> bool:
        if is_repeated and (self.last_position == NO_POSITION or position != NO_NUMBER):
            return False
        if position != NO_NUMBER:
            self.last_position = position
        return True


def deliver_audio(
    batch: bytes, at: int, location: int, tracks: tuple[dict[int, Track], ...], now: float, *, is_repeated: bool = False
) -> tuple[int, int]:
    """Deliver the entries from `at` on, up to the first entry that is no audio of these tracks.

    Args:
        location: of the batch in the replay buffer.
        tracks: see `TrackIndex.of`.
        is_repeated: drop frames that were delivered before, marked or not.

    Returns:
        The offset of the first entry that was not delivered, or is cut short; and the number of receivers of all frames
        together.
    """
    delivered, size = 0, len(batch)
    while at + ENTRY_BYTES <= size:
        kind, index, position, length, stream = unpack_front(batch, at)
        end = at + ENTRY_BYTES + length
        if kind != AUDIO or end > size or index >= len(tracks) or (track := tracks[index].get(stream)) is None:
            break
        delivered += track.deliver(batch, at, end, position, location + at, now, is_repeated=is_repeated)
        at = end
    return at, delivered


Deliver = Callable[[bytes, int, int, tuple[dict[int, Track], ...], float], tuple[int, int]]  # as `deliver_audio` does


class TrackIndex:
    """Finds the tracks that an ingest process feeds, by the process's epoch and the stream's number."""

    def __init__(self) -> None:
        self._by_epoch: dict[int, tuple[dict[int, Track], ...]] = {}
        self._added: dict[bytes, tuple[int, int]] = {}  # by the call's digest: epoch and stream

    def of(self, epoch: int) -> tuple[dict[int, Track], ...]:
        """Return the tracks that this process feeds: for each track's index, by stream. Valid until `add` or
        `remove`."""
        return self._by_epoch.get(epoch, _NO_TRACKS)

    def add(self, digest: bytes, epoch: int, stream: int, tracks: tuple[Track, ...]) -> None:
        """Add a call's tracks, in place of those that the call had here."""
        self.remove(digest)
        self._added[digest] = epoch, stream
        for by_stream, track in zip(self._by_epoch.setdefault(epoch, ({}, {})), tracks, strict=True):
            by_stream[stream] = track

    def remove(self, digest: bytes) -> None:
        """Remove a call's tracks, if there are any."""
        epoch, stream = self._added.pop(digest, (0, 0))
        tracks = self.of(epoch)
        for by_stream in tracks:
            by_stream.pop(stream, None)
        if not any(tracks):
            self._by_epoch.pop(epoch, None)
