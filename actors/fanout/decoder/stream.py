"""Decoding of one stream by the decoder process: frames keep their order, and each becomes µ-law or silence. Pure."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from patchbay.audio.g711 import FRAME_BYTES, SILENCE_ULAW
from patchbay.protocol.batches import NO_NUMBER, TRACKS, entry_at, pack_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.fanout.calls.encoder import IngestClock
    from patchbay.audio.media_format import MediaFormat
    from patchbay.protocol.batches import Entry

STRIKES_MAX: Final = 3  # decoder processes that a call's frames may end


class DecodingFailed(Exception):
    """Says that no frame of a stream can be decoded: there is no library, or the library lacks the codec."""


class Frame:
    """One frame that is being decoded.

    Attributes:
        came: when it came to this process; `since`: when it began to wait.
        time_us: when ingest had it.
        is_replay: it was delivered before, and is decoded for the replay buffer only.
        serial: names it in messages to the decoder process.
        ulaw: the decoded audio; empty as long as the frame waits.
    """

    __slots__ = ("came", "decoding", "entry", "is_replay", "serial", "since", "time_us", "ulaw")

    def __init__(
        self, decoding: Decoding, entry: Entry, came: float, since: float, time_us: int, *, is_replay: bool
    ) -> None:
        self.decoding = decoding
        self.entry = entry
        self.came = came
        self.since = since
        self.time_us = time_us
        self.is_replay = is_replay
        self.serial = 0
        self.ulaw = b""

    def entries(self) -> tuple[bytes, int]:
        """Pack its entry twice: decoded to PCMU, then as it came. Returns both together, and the offset of the
        second."""
        given = self.entry
        decoded = pack_entry(*given._replace(length=len(self.ulaw))[:-1]) + self.ulaw
        return decoded + pack_entry(*given[:-1]) + given.payload, len(decoded)


class Queue(Protocol):
    """Gets the frames of all streams; `actors.fanout.decoder.queue.DecodingQueue` implements it."""

    def next_number(self) -> int: ...

    def add(self, frame: Frame) -> None: ...

    def on_changed(self, decoding: Decoding) -> None: ...

    def discard(self, decoding: Decoding) -> None: ...


class Decoding:
    """One stream whose audio is being decoded; the target of its tracks, in place of groups of subscribers.

    Args:
        digest: of its call.
        clock: tells when ingest had the frame that is being added.
        positions: of the last frames that were delivered before, by track; -1: none.
        strikes: number of decoder processes that the call's frames have ended so far.
        log_fields: identify the call in log lines.
        on_undecodable: called for each frame that becomes silence.

    Attributes:
        positions: of the last frames that `take_finished` has returned.
        replay_frames: number of frames for the replay buffer that are being decoded.
        failure: why no frame can be decoded, in words; empty where frames can be decoded.
        is_silent: all frames become silence from now on.
        waiting: frames that have not been sent to the decoder process: the last ones of those in flight.
        bytes: of payloads that are being decoded.
        number: names the stream in messages to the decoder process.
    """

    def __init__(
        self,
        queue: Queue,
        digest: bytes,
        media_format: MediaFormat,
        clock: IngestClock,
        positions: list[int],
        *,
        strikes: int = 0,
        log_fields: dict[str, str],
        on_undecodable: Callable[[], None],
    ) -> None:
        self.digest = digest
        self.log_fields = log_fields
        self.media_format = media_format
        self.positions = positions
        self.strikes = strikes
        self.replay_frames = 0
        self.failure = ""
        self.is_silent = strikes >= STRIKES_MAX
        self.waiting: deque[Frame] = deque()
        self.bytes = 0
        self.on_undecodable = on_undecodable
        self.number = queue.next_number()
        self._queue = queue
        self._clock = clock
        self._in_flight: deque[Frame] = deque()
        self._usual_bytes = [FRAME_BYTES] * len(TRACKS)

    @property
    def is_busy(self) -> bool:
        """Return whether `take_finished` has frames to return, now or later."""
        return bool(self._in_flight)

    def deliver(self, batch: bytes, at: int, end: int, now: float) -> int:
        """Add the entry in these bytes of a batch, as a `Target` of tracks."""
        del end
        self.add(entry_at(batch, at), now, now)
        return 0

    def add(self, entry: Entry, came: float, now: float, *, is_replay: bool = False) -> None:
        """Add a frame. `came`: when it came to this process."""
        frame = Frame(self, entry, came, now, self._clock.time_us, is_replay=is_replay)
        self._in_flight.append(frame)
        self.replay_frames += is_replay
        self._queue.add(frame)

    def silence(self, track: int) -> bytes:
        """Return silence as long as the track's last frame."""
        return SILENCE_ULAW * self._usual_bytes[track]

    def unfinished(self) -> Iterator[Frame]:
        """Return the frames that are not decoded yet, the oldest first."""
        return (frame for frame in self._in_flight if not frame.ulaw)

    def take_finished(self) -> Iterator[Frame]:
        """Yield the finished frames whose turn has come.

        The frames of the replay buffer come first, all at once, and nothing after them: subscribers that wait for them
        join before the next call.
        """
        if not all(frame.ulaw for frame in islice(self._in_flight, self.replay_frames)):
            return
        while self._in_flight and self._in_flight[0].ulaw:
            frame = self._in_flight.popleft()
            track, position = frame.entry.track, frame.entry.position
            self._usual_bytes[track] = len(frame.ulaw)
            self.replay_frames -= frame.is_replay
            if not frame.is_replay and position != NO_NUMBER:
                self.positions[track] = position
            yield frame
            if frame.is_replay and not self.replay_frames:
                self._queue.on_changed(self)
                break

    def close(self) -> None:
        """Discard all frames: the stream has ended, or has another format."""
        self._queue.discard(self)
        self._in_flight.clear()
