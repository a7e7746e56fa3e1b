"""One media stream of Telnyx: its protocol, from `connected` to `stop`, on one connection.

Gets whole messages from the connection's reader and tells the streams what they mean. Does no I/O of its own but to write
frames to Telnyx through the peer it is given.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.ingest.idle_reader import IdleReader, media_in
from actors.ingest.media_reader import MediaReader, MediaTrack
from patchbay.audio.reorder import NO_CHUNK, Reorder
from patchbay.auth.tokens import granted_calls
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol import batches, telnyx
from patchbay.protocol.lenient_json import Malformed

if TYPE_CHECKING:
    from actors.ingest.batcher import Sink
    from actors.ingest.streams import Streams
    from patchbay.websocket.connection import WebSocketConnection

log = logging.getLogger(__name__)

_encode_note = msgspec.msgpack.Encoder().encode


class StreamState(msgspec.Struct, frozen=True, array_like=True):
    """What a successor needs.

    Attributes:
        start: Telnyx's start frame; empty: there is no call.
        talker: who has the floor.
        in_order: this process hands the stream over, rather than die.
        tracks: of each, base, turn and step (`MediaTrack.left_at`); turn and step only where it is handed over in order.
    """

    start: bytes
    started_at: float
    talker: int | None
    in_order: bool
    tracks: tuple[tuple[int, int, int], ...] = ()


_decode_note = msgspec.msgpack.Decoder(StreamState).decode

WINDOW_COUNTERS: Final = ("gaps", "duplicates", "late", "reordered")
RUBBISH_LIMIT_FACTOR: Final = 10  # a peer that has made sense before is given more patience
NOT_BEGUN: Final = 0.0
STARTS_PER_S: Final = 1.0  # of one stream, in the long run: a hold or a transfer brings a few
STARTS_BURST: Final = 20
WORDS_PER_S: Final = 1.0  # lines in the log about unreadable messages of one stream
WORDS_BURST: Final = 5
UNNUMBERED_RUN: Final = 50  # frames whose numbers can't be read: after so many in a row they are taken as they come
TRACK_NUMBERS: Final = {"inbound": 0, "outbound": 1}


class Stream:
    """State of one connection from Telnyx.

    Attributes:
        number: the connection's; later streams have higher ones.
        start: the start frame, while the stream is live.
        on_text: takes one message.
    """

    def __init__(self, streams: Streams, peer: WebSocketConnection) -> None:
        self._streams = streams
        self.peer = peer
        self.number = peer.handed.id
        self.start: telnyx.Start | None = None
        self.call = b""
        self.started_at = 0.0
        self.told: dict[str, Any] | None = None  # what the statistics say of it each time; kept by them
        self.talker: int | None = None  # who has the floor
        self.in_order = False  # a predecessor handed this stream over
        self.leaving = False  # we hand it over, and say LEFT, rather than die
        self.ending = False  # it is being closed
        self.rubbish = 0  # unreadable messages
        self.mended = 0  # those that were read but for a part that is not needed
        self._rubbish_in_a_row = 0
        self._sense_before = 0  # readable messages when the last unreadable one came
        self._others = 0  # readable messages that are no media
        inbound, outbound = (MediaTrack(track, self._new_window()) for track in (0, 1))
        self._lanes = (inbound, outbound)
        self._media_reader = MediaReader(inbound, outbound, self._push, self._message)
        self.on_text = self._media_reader.on_text
        self._cold: IdleReader | None = None
        self._read_again: IdleReader | None = None  # what a predecessor had dealt with, while that may still be wanted
        self._earlier: Counter[str] = Counter()  # counters of windows before the present ones
        self._counted = [0, 0]  # for frames that Telnyx sent without a chunk number
        self._starts = RateLimit(STARTS_PER_S, STARTS_BURST)
        self._words = RateLimit(WORDS_PER_S, WORDS_BURST)
        self._events = RateLimit(streams.settings.events_per_s, streams.settings.events_burst)
        self._unrecorded: Counter[str] = Counter()  # events beyond that, by type
        self.silent_since = streams.now()  # while no call is carried
        self._numbered = [False, False]  # whether the last frame that was pushed had one

    # ---- from Telnyx

    @property
    def frames(self) -> list[int]:
        """How many have come, by track."""
        return [lane.frames for lane in self._lanes]

    @property
    def queues(self) -> tuple[Sink, ...]:
        """Where its audio goes now."""
        return self._media_reader.queues

    def _message(self, message: bytes) -> None:
        """One that is not plainly a media frame."""
        mended: list[str] = []
        try:
            frame = telnyx.decode(message, mended)
        except Malformed as error:
            message.decode()  # not UTF-8: the WebSocket's business
            self._unreadable(error)
            if isinstance(error, telnyx.TooLong) and self.start is None:
                self._streams.end(self, str(error))  # nothing will come of it, and whoever sends it should know
            return
        if mended and not self._accept_mended(frame, mended):
            return
        if type(frame) is telnyx.Media:
            self._push(self._lanes[TRACK_NUMBERS[frame.track]], frame)
        else:
            self._others += 1
            self._other(frame)

    def _cold_message(self, message: bytes) -> None:
        """One that the skimmer has left, while nobody listens: audio is kept as it keeps its own."""
        frame = media_in(message)
        if frame is None or self._cold is None:
            self._message(message)
        else:
            self._lanes[TRACK_NUMBERS[frame.track]].count(1)
            self._cold.keep(message, frame.track, self.peer.last_heard)

    def _accept_mended(self, frame: telnyx.Frame, mended: list[str]) -> bool:
        """Count a frame of which a part could not be read. False for audio whose place among numbered audio is lost."""
        if type(frame) is telnyx.Media and telnyx.CHUNK in mended:
            track = TRACK_NUMBERS[frame.track]
            if self._numbered[track] and self._rubbish_in_a_row < UNNUMBERED_RUN:
                self._unreadable(Malformed(f"{telnyx.CHUNK} is not a number"))
                return False
        self.mended += 1
        self._streams.counters["messages_mended"] += 1
        if self.mended == 1:
            log.warning("a message was read in part; not: %s", ", ".join(mended), extra=self.about)
        return True

    def on_binary(self, message: bytes) -> None:
        """Telnyx sends none."""
        self._unreadable(Malformed(f"a binary message of {len(message)} bytes"))

    def _push(self, lane: MediaTrack, media: telnyx.Media) -> None:
        chunk, track = media.chunk, TRACK_NUMBERS[media.track]
        self._numbered[track] = chunk is not None
        if chunk is None:
            chunk = self._counted[track]
            self._counted[track] += 1
        self._emit(lane, lane.push(chunk, media, self.peer.last_heard))
        if lane.window.deadline is not None:
            self._streams.needs_time(self)

    def _emit(self, lane: MediaTrack, ready: list[telnyx.Media]) -> None:
        base = lane.base
        for media in ready:
            self._emit_one(lane, media)
        if lane.base != base:
            self.peer.take_soon = True  # a successor would take the old numbers for the new ones
            self._streams.renumbered(self)

    def _emit_one(self, lane: MediaTrack, media: telnyx.Media) -> None:
        payload, chunk = media.payload, media.chunk
        position = batches.NO_NUMBER if chunk is None else lane.position(chunk) & batches.NUMBER_MASK
        timestamp = batches.NO_TIMESTAMP if media.timestamp is None else media.timestamp
        header = batches.pack_any_audio(
            lane.head, position, _number(chunk), _number(media.sequence_number), len(payload), timestamp
        )
        for queue in self._media_reader.queues:
            queue.extend((header, self._media_reader.tail, payload))

    def _other(self, frame: telnyx.Frame) -> None:
        self.peer.take_soon = True  # audio that is heard twice is known by its position; this would happen twice
        match frame:
            case telnyx.Start():
                self._begin(frame)
            case telnyx.Stop():
                self._end(frame)
            case telnyx.StreamError():
                if self._is_recorded("stream.error"):
                    self._error(frame)
            case telnyx.Dtmf():
                if self._is_recorded("stream.dtmf"):
                    self._streams.event(self, "stream.dtmf", {"digit": frame.digit}, frame.occurred_at)
            case telnyx.Mark():
                self._streams.marked(self, frame.name, is_recorded=self._is_recorded("stream.mark"))
            case telnyx.Connected() | telnyx.Unknown() | telnyx.Media():
                pass  # greetings, and what future versions of the protocol bring, are accepted

    def _error(self, error: telnyx.StreamError) -> None:
        log.warning("Telnyx: %s (%s): %s", error.title, error.code, error.detail, extra=self.about)
        self._streams.news(self, batches.ERROR, error.raw)
        self._streams.event(self, "stream.error", {"code": error.code, "title": error.title, "detail": error.detail})

    def _is_recorded(self, event_type: str) -> bool:
        """Whether there is room for an event that a peer can cause without end."""
        if self._events.spend(1, self._streams.now()):
            return True
        self._unrecorded[event_type] += 1
        self._streams.counters["events_unrecorded"] += 1
        return False

    def take_unrecorded(self) -> dict[str, int]:
        """How many events were not recorded since this was last asked, by type."""
        taken = dict(self._unrecorded)
        self._unrecorded.clear()
        return taken

    def _begin(self, start: telnyx.Start) -> None:
        if not self._starts.spend(1, self._streams.now()):
            self._streams.end(self, "too many start frames")
            return
        calls = granted_calls(self.peer.handed.claims)
        if calls is not None and start.call_control_id not in calls:
            self._streams.end(self, "the token of this stream is not for this call")
            return
        if self._streams.admits(self, start):
            self.begin(start)

    def begin(self, start: telnyx.Start) -> None:
        """From now on this is the stream of a call."""
        before = self.start
        if before is not None:
            self._finish_windows()
            if before.digest == start.digest:
                self._renew_windows()  # the numbers may begin anew
                self._streams.started_again(self)
                return
            if before.call_control_id != start.call_control_id:
                self._streams.gone(self, "its connection carries another call now")
        self._carries(start)
        self.started_at = time.time()
        self._renew_windows()
        self._streams.started(self)

    def _carries(self, start: telnyx.Start) -> None:
        self.start = start
        self.call = batches.digest(start.call_control_id)
        self.told = None
        self._media_reader.tail = batches.entry_tail(self.number, self.call)

    def _end(self, stop: telnyx.Stop) -> None:
        if self.start is None:
            return
        self._finish_windows()
        self._streams.stopped(self, stop.raw)
        self.start = None
        self.silent_since = self._streams.now()

    def _unreadable(self, error: Malformed) -> None:
        sense = self._others + sum(self.frames)
        self._rubbish_in_a_row = 1 if sense > self._sense_before else self._rubbish_in_a_row + 1
        self._sense_before = sense
        self.rubbish += 1
        limit = self._streams.settings.rubbish_limit * (RUBBISH_LIMIT_FACTOR if sense else 1)
        if self._rubbish_in_a_row == 1 and self._words.spend(1, self._streams.now()):
            log.warning("unreadable message: %s", error, extra=self.about)
        if self._rubbish_in_a_row == limit:
            self._streams.end(self, f"{limit} unreadable messages in a row, the last: {error}")

    # ---- from the streams

    def look(self) -> None:
        """Before a change of listeners: what has come by now was not meant for those who join."""
        if self._cold is not None:
            self.peer.look()

    def route(self, queues: tuple[Sink, ...]) -> None:
        """Send audio there from now on; without anywhere to send it, it is only counted."""
        self._media_reader.queues = queues
        if queues and self._cold is not None:
            self._warm(self._cold)
        elif not queues and self._cold is None and self.start is not None:
            self._finish_windows()
            self._cold = IdleReader(self._streams.replay_frames, self._streams.now())
            self.peer.on_text = self._cold_message
            self.peer.cool(self._skim)

    def again(self, begins: bool) -> None:
        """What comes now is what a predecessor has dealt with; or that is over."""
        self._flag(batches.AGAIN if begins else 0)
        if not begins and self._cold is not None:  # kept apart, for a listener who is about to be known
            self._read_again, self._cold = self._cold, IdleReader(self._streams.replay_frames, self._streams.now())

    def leave_calls(self) -> None:
        """This stream carries no call any more; whatever comes is read at once."""
        self._media_reader.queues = ()
        if self._cold is not None:
            self._cold = None
            self.peer.on_text = self.on_text
            self.peer.warm()

    def _skim(self, data: memoryview, at: int, size: int) -> int:
        if self._cold is None:
            return at
        if self._read_again is not None and not self._read_again.is_young(self.peer.last_heard):
            self._read_again = None
        inbound, outbound, end = self._cold.take(data, at, size, self.peer.last_heard)
        self._lanes[0].count(inbound)
        self._lanes[1].count(outbound)
        self.peer.count(inbound + outbound)
        return end

    def _warm(self, cold: IdleReader) -> None:
        """Somebody listens again: the last moments first."""
        again, self._read_again, self._cold = self._read_again, None, None
        self._renew_windows()
        counted, now = self.frames, self._streams.now()
        if again is not None and again.is_young(now):
            self._say_before(again, now, batches.AGAIN)
        self._say_before(cold, now, 0)
        for lane, frames in zip(self._lanes, counted, strict=True):
            lane.count(frames - lane.frames)
        self.peer.on_text = self.on_text
        self.peer.warm()

    def _say_before(self, cold: IdleReader, now: float, flags: int) -> None:
        self._flag(batches.SAID_BEFORE | flags)
        for message in cold.kept(now):
            with suppress(UnicodeDecodeError):  # too late to be the WebSocket's business
                self.on_text(message)
        self._flag(0)

    def ended(self) -> None:
        """Its connection has ended; nothing more comes."""
        self._media_reader.forget()

    def resume(self, note: bytes) -> bool:
        """Go on where a predecessor was, from what it had noted. False when the stream had not begun there."""
        left = _decode_note(note)
        self.talker, self.in_order = left.talker, left.in_order
        for lane, (base, turn, step) in zip(self._lanes, left.tracks, strict=False):
            lane.go_on(base, turn, step)
        if not left.start:
            return False
        frame = telnyx.decode(left.start)
        if not isinstance(frame, telnyx.Start):
            return False
        self._others += 1
        if left.started_at == NOT_BEGUN:
            self._begin(frame)
            return False
        self._carries(frame)
        self.started_at = left.started_at
        return True

    def note(self) -> bytes:
        """What a successor needs."""
        is_exact = self.leaving and self._cold is None
        tracks = tuple(lane.left_at() if is_exact else (lane.base, NO_CHUNK, 1) for lane in self._lanes)
        start = self.start.raw if self.start else b""
        return _encode_note(StreamState(start, self.started_at, self.talker, self.leaving, tracks))

    @staticmethod
    def note_of_waiting(start: telnyx.Start) -> bytes:
        """The same while the stream may not begin yet."""
        return _encode_note(StreamState(start.raw, NOT_BEGUN, None, False))

    def expire(self, now: float) -> bool:
        """Let go of frames that have been held for a missing one for long enough. False when none are held."""
        held = False
        for lane in self._lanes:
            self._emit(lane, lane.expire(now))
            held = held or lane.window.deadline is not None
        return held

    @property
    def about(self) -> dict[str, str]:
        """What every log line says of this stream."""
        if self.start is None:
            return {"peer": self.peer.handed.peer}
        return {"call_control_id": self.start.call_control_id, "stream_id": self.start.stream_id or ""}

    def counters(self) -> dict[str, int]:
        """Gaps, duplicates and the like, of both tracks."""
        inbound, outbound = (lane.window.statistics() for lane in self._lanes)
        both = {name: inbound[name] + outbound[name] + self._earlier[name] for name in WINDOW_COUNTERS}
        return {**both, "malformed": self.rubbish, "mended": self.mended}

    def _finish_windows(self) -> None:
        self.expire(float("inf"))

    def _flag(self, flags: int) -> None:
        for lane in self._lanes:
            lane.flag(flags)

    def _renew_windows(self) -> None:
        for name, value in self.counters().items():
            self._earlier[name] = value
        del self._earlier["malformed"], self._earlier["mended"]
        for lane in self._lanes:
            lane.renew(self._new_window())

    def _new_window(self) -> Reorder[telnyx.Media]:
        return Reorder(self._streams.settings.reorder_frames, self._streams.settings.reorder_ms / 1000)


def _number(value: int | None) -> int:
    return batches.NO_NUMBER if value is None else value & batches.NUMBER_MASK
