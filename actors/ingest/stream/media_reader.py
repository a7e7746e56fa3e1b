"""The hot path of one stream: makes entries for the bus of plain media messages, and leaves all others to the stream.

A frame comes fifty times a second for each track, and hardly ever two of one call in a row: fetching its objects from
memory costs more than computing with them. So a frame needs few small objects, and all that stays the same from frame
to frame is packed beforehand. `patchbay/_native/ingest_media.c` does the same as `MediaReader.on_text`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from patchbay.audio.reorder import NO_CHUNK, RESTART_CHUNKS
from patchbay.protocol import batches
from patchbay.protocol.lenient_json import DECODE_ERRORS
from patchbay.protocol.telnyx import PAYLOAD_MAX_BYTES, decode_media, media_of
from patchbay.websocket.frame_reader import ignore

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchbay.audio.reorder import Reorder
    from patchbay.bus.batcher import EntryQueue
    from patchbay.protocol.telnyx import Media

_pack_audio: Final = batches.pack_audio


class MediaTrack:
    """Counts and orders the frames of one track.

    A frame whose chunk is `expected_chunk` needs no reordering: its reader adds `step` to `expected_chunk`, and does
    nothing else here. Every other frame is for `push`.

    Attributes:
        expected_chunk: chunk number of the next frame; NO_CHUNK: every frame is for `push`.
        step: difference of the chunk numbers of two frames in a row.
        window: puts the other frames in order.
        offset: position (`patchbay.protocol.batches`) minus chunk; changes when Telnyx's numbers begin anew.
        entry_head: the beginning of each entry, packed.
    """

    __slots__ = (
        "_counted", "_counted_from", "_flags", "_is_fresh", "_least", "_track",
        "entry_head", "expected_chunk", "offset", "step", "window",
    )  # fmt: skip

    def __init__(self, track: int, window: Reorder[Media]) -> None:
        self._track = track
        self._flags = 0
        self._counted = 0  # frames, without those that only moved `expected_chunk` away from `_counted_from`
        self.offset = 0
        self._least = 0  # position that the next frame may have
        self._is_fresh = True  # no frame has left the window yet
        self.expected_chunk = NO_CHUNK
        self.reset(window)

    @property
    def frames(self) -> int:
        """The number of frames that have come, those that were dropped included."""
        return self._counted + (self.expected_chunk - self._counted_from) // self.step

    def count(self, frames: int) -> None:
        """Count frames that were read elsewhere."""
        self._counted += frames

    def reset(self, window: Reorder[Media]) -> None:
        """Begin with a new window. Frames stay counted."""
        self._update_window()
        self.window = window
        self._is_fresh = True
        self._update_expected()

    def state(self) -> tuple[int, int, int]:
        """Return offset, expected chunk and step, for `resume` in a successor. No frame may be held in the window."""
        self._update_window()
        return self.offset, self.window.expected_chunk, self.window.step

    def resume(self, offset: int, expected_chunk: int, step: int) -> None:
        """Begin where a predecessor was, from its `state`. NO_CHUNK: only the offset is known."""
        self.offset = offset
        if expected_chunk != NO_CHUNK:
            self.window.resume(expected_chunk, step)
            self._least, self._is_fresh = expected_chunk + offset, False
            self._update_expected()

    def position(self, chunk: int) -> int:
        """Return the position of a frame that leaves the window: above all before, also where Telnyx's numbers have
        begun anew."""
        position = chunk + self.offset
        ahead = position - self._least
        if ahead < 0 or (ahead > RESTART_CHUNKS and not self._is_fresh):
            self.offset -= ahead
            position = self._least
        self._least, self._is_fresh = position + self.step, False
        return position

    def set_flags(self, flags: int) -> None:
        """Mark the entries of frames that follow (`batches.REPLAYED`, `AGAIN`)."""
        self._update_window()
        self._flags = flags
        self._update_expected()

    def push(self, chunk: int, media: Media, now: float) -> list[Media]:
        """Take a frame that need not be the expected one. Returns the frames that leave the window, in order."""
        self._update_window()
        self._counted += 1
        ready = self.window.push(chunk, media, now)
        self._update_expected()
        return ready

    def expire(self, now: float) -> list[Media]:
        """Return frames that have waited long enough for a missing one."""
        self._update_window()
        ready = self.window.expire(now)
        self._update_expected()
        return ready

    def _update_window(self) -> None:
        """Tell the window about the frames that did not pass through it."""
        if self.expected_chunk != NO_CHUNK:
            self._counted += (self.expected_chunk - self._counted_from) // self.step
            self.window.skip_to(self.expected_chunk)
            self._least = self.expected_chunk + self.offset

    def _update_expected(self) -> None:
        self.expected_chunk = self._counted_from = self.window.expected_chunk
        self.step = self.window.step
        self.entry_head = batches.audio_head(self._track, self.step | self._flags)


class MediaReader:
    """Reads the media messages of a stream, for both tracks.

    Args:
        on_media: gets a media frame that is not the expected one, or lacks a number.
        on_other: gets every message that is not a media frame as Telnyx sends them today.

    Attributes:
        queues: where entries go.
        tail: the end of each entry's header (`batches.entry_tail`).
    """

    __slots__ = ("_on_media", "_on_other", "inbound", "outbound", "queues", "tail")

    def __init__(
        self,
        inbound: MediaTrack,
        outbound: MediaTrack,
        on_media: Callable[[MediaTrack, Media], None],
        on_other: Callable[[bytes], None],
    ) -> None:
        self.inbound = inbound
        self.outbound = outbound
        self._on_media = on_media
        self._on_other = on_other
        self.queues: tuple[EntryQueue, ...] = ()
        self.tail = b""

    def release(self) -> None:
        """Let go of the stream, which has ended: else only the garbage collector would find the two."""
        self._on_media = self._on_other = ignore

    def on_text(self, message: bytes) -> None:
        """Take one message. Raises UnicodeDecodeError for text that is not UTF-8, and nothing else."""
        try:
            frame = decode_media(message)
        except DECODE_ERRORS:
            self._on_other(message)
            return
        body = frame.media
        track = self.inbound if body.track == "inbound" else self.outbound
        payload = body.payload
        if len(payload) > PAYLOAD_MAX_BYTES:
            self._on_other(message)
            return
        if (chunk := body.chunk) != track.expected_chunk:
            self._on_media(track, media_of(frame))
            return
        try:
            header = _pack_audio(
                track.entry_head, chunk + track.offset, chunk, frame.sequence_number, len(payload), body.timestamp
            )
        except struct.error:  # a number is missing, or too great
            self._on_media(track, media_of(frame))
            return
        track.expected_chunk = chunk + track.step
        for queue in self.queues:
            queue += (header, self.tail, payload)
