"""The hot path of one stream: a media message that has its turn becomes an entry on the bus. All others are the stream's.

Fifty times a second and track, and no two frames in a row are of the same call: what costs is not what is computed but
what must be fetched from memory to do it. So what a frame needs lies in few small objects, and everything that does not
change from frame to frame is packed beforehand.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from patchbay.audio.reorder import NO_CHUNK, RESTART_CHUNKS
from patchbay.protocol import batches
from patchbay.protocol.lenient_json import DECODE_ERRORS
from patchbay.protocol.telnyx import PAYLOAD_MAX_BYTES, decode_media, media_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.ingest.batcher import Sink
    from patchbay.audio.reorder import Reorder
    from patchbay.protocol.telnyx import Media

_pack_audio: Final = batches.pack_audio


class MediaTrack:
    """One track of a stream.

    Attributes:
        turn: the chunk that goes straight through, and moves `turn` by `step`; every other frame is to be pushed.
        window: puts the others in order.
        base: what a chunk lacks to its position (`patchbay.protocol.batches`); it changes when Telnyx's numbers begin anew.
    """

    __slots__ = (
        "_counted", "_flags", "_is_fresh", "_least", "_settled", "_track", "base", "head", "step", "turn", "window"
    )  # fmt: skip

    def __init__(self, track: int, window: Reorder[Media]) -> None:
        self._track = track
        self._flags = 0
        self._counted = 0  # frames, but for those that went straight through since the last `_settle`
        self.base = 0
        self._least = 0  # position that the next frame may have
        self._is_fresh = True  # no frame has left the window yet
        self.turn = NO_CHUNK
        self.renew(window)

    @property
    def frames(self) -> int:
        """How many have come, whatever became of them."""
        return self._counted + (self.turn - self._settled) // self.step

    def count(self, frames: int) -> None:
        """So many were dealt with elsewhere."""
        self._counted += frames

    def renew(self, window: Reorder[Media]) -> None:
        """Begin again with another window. The frames stay counted."""
        self._catch_up()
        self.window = window
        self._is_fresh = True
        self._settle()

    def left_at(self) -> tuple[int, int, int]:
        """Where this track is, for `go_on` elsewhere: base, turn and step. Nothing may be held."""
        self._catch_up()
        return self.base, self.window.next_chunk, self.window.step

    def go_on(self, base: int, turn: int, step: int) -> None:
        """Begin where a predecessor was; `turn` NO_CHUNK: only its base is known."""
        self.base = base
        if turn != NO_CHUNK:
            self.window.resume(turn, step)
            self._least, self._is_fresh = turn + base, False
            self._settle()

    def position(self, chunk: int) -> int:
        """Place a frame that leaves the window: behind all before, also where the numbers have begun anew."""
        position = chunk + self.base
        ahead = position - self._least
        if ahead < 0 or (ahead > RESTART_CHUNKS and not self._is_fresh):
            self.base -= ahead
            position = self._least
        self._least, self._is_fresh = position + self.step, False
        return position

    def flag(self, flags: int) -> None:
        """Mark the frames that follow."""
        self._catch_up()
        self._flags = flags
        self._settle()

    def push(self, chunk: int, media: Media, now: float) -> list[Media]:
        """A frame has come, perhaps not in its turn; the frames whose turn it is now, in order."""
        self._catch_up()
        self._counted += 1
        ready = self.window.push(chunk, media, now)
        self._settle()
        return ready

    def expire(self, now: float) -> list[Media]:
        """Frames that have waited long enough for a missing one."""
        self._catch_up()
        ready = self.window.expire(now)
        self._settle()
        return ready

    def _catch_up(self) -> None:
        if self.turn != NO_CHUNK:
            self._counted += (self.turn - self._settled) // self.step
            self.window.skip_to(self.turn)
            self._least = self.turn + self.base

    def _settle(self) -> None:
        self.turn = self._settled = self.window.next_chunk
        self.step = self.window.step
        self.head = batches.audio_head(self._track, self.step | self._flags)


class MediaReader:
    """Both tracks of a stream.

    Args:
        on_media: gets a media frame that is not in its turn, or not as plain as most.
        on_other: gets every message that is no media frame as Telnyx sends them today.

    Attributes:
        queues: where audio goes now.
        tail: what ends the header of each entry (`batches.entry_tail`).
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
        self.queues: tuple[Sink, ...] = ()
        self.tail = b""

    def forget(self) -> None:
        """The stream has ended: let go of it, or only the collector would find the two."""
        self._on_media = lambda track, media: None
        self._on_other = lambda message: None

    def on_text(self, message: bytes) -> None:
        """Take one message. Never raises, but for text that is not UTF-8."""
        try:
            frame = decode_media(message)
        except DECODE_ERRORS:
            self._on_other(message)
            return
        body = frame.media
        lane = self.inbound if body.track == "inbound" else self.outbound
        payload = body.payload
        if len(payload) > PAYLOAD_MAX_BYTES:
            self._on_other(message)
            return
        if (chunk := body.chunk) != lane.turn:
            self._on_media(lane, media_of(frame))
            return
        try:
            header = _pack_audio(
                lane.head, chunk + lane.base, chunk, frame.sequence_number, len(payload), body.timestamp
            )
        except struct.error:  # a number is missing or very great
            self._on_media(lane, media_of(frame))
            return
        lane.turn = chunk + lane.step
        for queue in self.queues:
            queue += (header, self.tail, payload)
