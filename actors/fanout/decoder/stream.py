"""One stream whose audio is decoded by a process of its own: its frames keep their order, and each has an end, its µ-law or
silence as long. Pure."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from patchbay.audio.g711 import FRAME_BYTES, SILENCE_ULAW
from patchbay.protocol.batches import NO_NUMBER, TRACKS, entry_at, pack_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.fanout.calls.encoder import IngestClock
    from actors.fanout.decoder.queue import DecodingQueue
    from patchbay.audio.media_format import MediaFormat
    from patchbay.protocol.batches import Entry

STRIKES_MAX: Final = 3  # decoders that a call's frames may end


class DecodingFailed(Exception):
    """Nothing of a stream can be decoded: there is no library, or no such codec in it."""


class Frame:
    """One frame on its way.

    Attributes:
        came: when it came here; `since`: when it began to wait.
        time_us: when ingest had it.
        is_moment: it was delivered before it had to be decoded, and is kept for those who join.
        ulaw: what it was decoded to; empty as long as it waits.
    """

    __slots__ = ("came", "decoding", "entry", "is_moment", "serial", "since", "time_us", "ulaw")

    def __init__(
        self, decoding: Decoding, entry: Entry, came: float, since: float, time_us: int, *, is_moment: bool
    ) -> None:
        self.decoding = decoding
        self.entry = entry
        self.came = came
        self.since = since
        self.time_us = time_us
        self.is_moment = is_moment
        self.serial = 0
        self.ulaw = b""

    def entries(self) -> tuple[bytes, int]:
        """Pack its entry as that of a call in PCMU, and behind that as it came. Returns both, and where the second begins."""
        given = self.entry
        decoded = pack_entry(*given._replace(length=len(self.ulaw))[:-1]) + self.ulaw
        return decoded + pack_entry(*given[:-1]) + given.payload, len(decoded)


class Decoding:
    """One stream whose audio is being decoded. In the place of a lane's groups, it takes frames as they come.

    Args:
        digest: of its call.
        clock: when ingest had the frame that comes.
        positions: of the last frames that were delivered before, by track; -1: none.
        strikes: how many decoders the call's frames have ended so far.
        about: the call, for log lines.
        on_undecodable: called for each frame that becomes silence.

    Attributes:
        positions: of the last frames that were handed out.
        replay_buffer: how many frames wait that are only kept for those who join.
        failure: why nothing of it can be decoded, in words; empty where it can.
        is_silent: nothing of it is decoded any more.
    """

    def __init__(
        self,
        queue: DecodingQueue,
        digest: bytes,
        media_format: MediaFormat,
        clock: IngestClock,
        positions: list[int],
        *,
        strikes: int = 0,
        about: dict[str, str],
        on_undecodable: Callable[[], None],
    ) -> None:
        self.digest = digest
        self.about = about
        self.media_format = media_format
        self.positions = positions
        self.strikes = strikes
        self.replay_buffer = 0
        self.failure = ""
        self.is_silent = strikes >= STRIKES_MAX
        self.waiting: deque[Frame] = deque()  # not sent yet: the last ones of those in flight
        self.bytes = 0
        self.on_undecodable = on_undecodable
        self.number = queue.next_number()
        self._queue = queue
        self._clock = clock
        self._in_flight: deque[Frame] = deque()
        self._usual_bytes = [FRAME_BYTES] * len(TRACKS)

    @property
    def is_busy(self) -> bool:
        """Whether frames have not been handed out."""
        return bool(self._in_flight)

    def hear(self, batch: bytes, at: int, end: int, now: float) -> int:
        """Take the entry in these bytes of a batch (see `Group.hear`); to be handed out later."""
        del end
        self.add(entry_at(batch, at), now, now)
        return 0

    def add(self, entry: Entry, came: float, now: float, *, is_moment: bool = False) -> None:
        """Take a frame."""
        frame = Frame(self, entry, came, now, self._clock.time_us, is_moment=is_moment)
        self._in_flight.append(frame)
        self.replay_buffer += is_moment
        self._queue.add(frame)

    def silence(self, track: int) -> bytes:
        """Make as much of it as the track's last frame held."""
        return SILENCE_ULAW * self._usual_bytes[track]

    def unfinished(self) -> Iterator[Frame]:
        """Those that wait for their µ-law."""
        return (frame for frame in self._in_flight if not frame.ulaw)

    def take(self) -> Iterator[Frame]:
        """Hand out the frames whose turn it is; first the replay buffer, all at once, and then, for those who wait for them, nothing
        more."""
        if not all(frame.ulaw for frame in islice(self._in_flight, self.replay_buffer)):
            return
        while self._in_flight and self._in_flight[0].ulaw:
            frame = self._in_flight.popleft()
            track, position = frame.entry.track, frame.entry.position
            self._usual_bytes[track] = len(frame.ulaw)
            self.replay_buffer -= frame.is_moment
            if not frame.is_moment and position != NO_NUMBER:
                self.positions[track] = position
            yield frame
            if frame.is_moment and not self.replay_buffer:
                self._queue.changed[self] = None
                break

    def close(self) -> None:
        """The stream is over, or its audio is another's: what waits is let go."""
        self._queue.let_go(self)
        self._in_flight.clear()
