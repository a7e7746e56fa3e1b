"""Reads the audio of one media stream: both tracks, in order, for fan-outs that want it; else frames are counted."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from actors.ingest.stream.idle_reader import IdleReader, decode_audio
from actors.ingest.stream.media_reader import MediaReader, MediaTrack
from patchbay.audio.reorder import NO_CHUNK, Reorder
from patchbay.protocol import batches
from patchbay.websocket.frame_reader import ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from config.settings import IngestSettings
    from patchbay.bus.batcher import EntryQueue
    from patchbay.protocol import telnyx
    from patchbay.websocket.connection import WebSocketConnection

WINDOW_COUNTERS: Final = ("gaps", "duplicates", "late", "reordered")
TRACK_NUMBERS: Final = {"inbound": 0, "outbound": 1}


class StreamAudio:
    """Reads, orders and queues the audio of one stream, or counts its frames while no fan-out wants them.

        live ── route(no queues) ──► idle
        live ◄── route(queues) ───── idle     the last frames are queued first
        live ◄── detach ──────────── idle     the stream carries no call, and its audio goes nowhere

    A new stream is live: MediaReader decodes each message. While idle, IdleReader counts frames and keeps the last
    ones.

    Args:
        replay_frames: frames of each track that are kept for a listener who joins.
        now: the clock, in seconds.
        on_other: gets every message that is no plain media frame.
        on_held: called when a frame is held for a missing one: `expire` is to be called soon.
        on_renumbered: called when Telnyx's numbers have begun anew; the successor must know.

    Attributes:
        on_text: takes one message from the connection.
    """

    def __init__(
        self,
        settings: IngestSettings,
        peer: WebSocketConnection,
        replay_frames: int,
        now: Callable[[], float],
        *,
        on_other: Callable[[bytes], None],
        on_held: Callable[[StreamAudio], None],
        on_renumbered: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._peer = peer
        self._replay_frames = replay_frames
        self._now = now
        self._on_other = on_other
        self._on_held = on_held
        self._on_renumbered = on_renumbered
        inbound, outbound = self._tracks = tuple(MediaTrack(number, self._new_window()) for number in (0, 1))
        self._reader = MediaReader(inbound, outbound, self._push, on_other)
        self.on_text = self._reader.on_text
        self._idle: IdleReader | None = None  # while no fan-out wants the audio
        self._repeated: IdleReader | None = None  # frames that a predecessor had read, while a listener may want them
        self._earlier = dict.fromkeys(WINDOW_COUNTERS, 0)  # counters of the windows before the present ones
        self._unnumbered = [0, 0]  # frames of each track without a chunk number
        self._is_numbered = [False, False]  # whether the last frame of the track that was pushed had a number

    @property
    def frames(self) -> list[int]:
        """The numbers of frames that have come, by track."""
        return [track.frames for track in self._tracks]

    def counters(self) -> dict[str, int]:
        """Return gaps, duplicates, late and reordered frames of both tracks."""
        inbound, outbound = (track.window.statistics() for track in self._tracks)
        return {name: inbound[name] + outbound[name] + self._earlier[name] for name in WINDOW_COUNTERS}

    def is_numbered(self, media: telnyx.Media) -> bool:
        """Tell whether the frame before this one in its track had a chunk number."""
        return self._is_numbered[TRACK_NUMBERS[media.track]]

    # ---- frames that are not plain

    def push(self, media: telnyx.Media) -> None:
        """Take a media frame that `on_text` has left to `on_other`."""
        self._push(self._tracks[TRACK_NUMBERS[media.track]], media)

    def expire(self, now: float) -> bool:
        """Queue frames that have been held for a missing one for long enough. False when none are held any more."""
        held = False
        for track in self._tracks:
            self._emit(track, track.expire(now))
            held = held or track.window.deadline is not None
        return held

    def flush(self) -> None:
        """Queue all frames that are held."""
        self.expire(float("inf"))

    def reset(self) -> None:
        """Expect any chunk number next. Counters stay; frames that are held are lost (see `flush`)."""
        self._earlier = self.counters()
        for track in self._tracks:
            track.reset(self._new_window())

    def _push(self, track: MediaTrack, media: telnyx.Media) -> None:
        chunk, number = media.chunk, TRACK_NUMBERS[media.track]
        self._is_numbered[number] = chunk is not None
        if chunk is None:
            chunk = self._unnumbered[number]
            self._unnumbered[number] += 1
        self._emit(track, track.push(chunk, media, self._peer.last_heard))
        if track.window.deadline is not None:
            self._on_held(self)

    def _emit(self, track: MediaTrack, ready: list[telnyx.Media]) -> None:
        offset = track.offset
        for media in ready:
            self._emit_one(track, media)
        if track.offset != offset:
            self._peer.take_soon = True  # a successor would take the old numbers for the new ones
            self._on_renumbered()

    def _emit_one(self, track: MediaTrack, media: telnyx.Media) -> None:
        payload, chunk = media.payload, media.chunk
        position = batches.NO_NUMBER if chunk is None else track.position(chunk) & batches.NUMBER_MASK
        timestamp = batches.NO_TIMESTAMP if media.timestamp is None else media.timestamp
        header = batches.pack_any_audio(
            track.entry_head, position, _number(chunk), _number(media.sequence_number), len(payload), timestamp
        )
        for queue in self._reader.queues:
            queue.extend((header, self._reader.tail, payload))

    def _new_window(self) -> Reorder[telnyx.Media]:
        return Reorder(self._settings.reorder_frames, self._settings.reorder_ms / 1000)

    # ---- who wants the audio

    def set_source(self, stream: int, call: bytes) -> None:
        """Name the stream and the call in each entry from now on."""
        self._reader.tail = batches.entry_tail(stream, call)

    def poll(self) -> None:
        """Read all messages that have come by now. Done before a listener joins, for whom they are too old."""
        if self._idle is not None:
            self._peer.read_now()

    def route(self, queues: tuple[EntryQueue, ...]) -> None:
        """Put audio in these queues from now on. Without any, frames are only counted, and the last ones kept."""
        self._reader.queues = queues
        if queues and self._idle is not None:
            self._end_idle(self._idle)
        elif not queues and self._idle is None:
            self.flush()
            self._idle = IdleReader(self._replay_frames, self._now())
            self._peer.on_text = self._on_idle_text
            self._peer.read_periodically(self._on_bulk)

    def detach(self) -> None:
        """Queue nothing any more, since the stream carries no call; messages are read at once."""
        self._reader.queues = ()
        if self._idle is not None:
            self._idle = None
            self._read_all()

    def mark_repeated(self, begins: bool) -> None:
        """Mark frames that follow as read by a predecessor, which has crashed; or end that."""
        self._set_flags(batches.REPEATED if begins else 0)
        if not begins and self._idle is not None:  # kept apart, for a listener who is about to be known
            self._repeated, self._idle = self._idle, IdleReader(self._replay_frames, self._now())

    def _on_idle_text(self, message: bytes) -> None:
        """Take a message that `_on_bulk` has left. Audio is kept as the idle reader keeps its own."""
        frame = decode_audio(message)
        if frame is None or self._idle is None:
            self._on_other(message)
        else:
            self._tracks[TRACK_NUMBERS[frame.track]].count(1)
            self._idle.add(message, frame.track, self._peer.last_heard)

    def _on_bulk(self, data: memoryview, at: int, size: int) -> int:
        if self._idle is None:
            return at
        if self._repeated is not None and not self._repeated.is_complete(self._peer.last_heard):
            self._repeated = None
        inbound, outbound, end = self._idle.take(data, at, size, self._peer.last_heard)
        self._tracks[0].count(inbound)
        self._tracks[1].count(outbound)
        self._peer.count(inbound + outbound)
        return end

    def _end_idle(self, idle: IdleReader) -> None:
        """Queue the last frames, then all that follow."""
        repeated, self._repeated, self._idle = self._repeated, None, None
        self.reset()
        counted, now = self.frames, self._now()
        if repeated is not None and repeated.is_complete(now):
            self._replay(repeated, now, batches.REPEATED)
        self._replay(idle, now, 0)
        for track, frames in zip(self._tracks, counted, strict=True):
            track.count(frames - track.frames)
        self._read_all()

    def _read_all(self) -> None:
        self._peer.on_text = self.on_text
        self._peer.read_on_arrival()

    def _replay(self, idle: IdleReader, now: float, flags: int) -> None:
        self._set_flags(batches.REPLAYED | flags)
        for message in idle.replay(now):
            with suppress(UnicodeDecodeError):  # too late to close the WebSocket for it
                self.on_text(message)
        self._set_flags(0)

    def _set_flags(self, flags: int) -> None:
        for track in self._tracks:
            track.set_flags(flags)

    # ---- from process to process

    def state(self, *, is_handed_over: bool) -> tuple[tuple[int, int, int], ...]:
        """Return offset, expected chunk and step of each track, for `resume` in a successor."""
        is_exact = is_handed_over and self._idle is None
        return tuple(track.state() if is_exact else (track.offset, NO_CHUNK, 1) for track in self._tracks)

    def resume(self, tracks: Iterable[tuple[int, int, int]]) -> None:
        """Go on where a predecessor was, from its `state`."""
        for track, (offset, expected_chunk, step) in zip(self._tracks, tracks, strict=False):
            track.resume(offset, expected_chunk, step)

    def release(self) -> None:
        """Let go of the stream, whose connection has ended: else only the garbage collector would find the two."""
        self._reader.release()
        self._on_other = self._on_held = self._on_renumbered = ignore


def _number(value: int | None) -> int:
    return batches.NO_NUMBER if value is None else value & batches.NUMBER_MASK
