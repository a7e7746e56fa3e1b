"""Speaks Telnyx's protocol on one connection: a media stream, from `connected` to `stop`.

Takes whole messages from the connection's reader, and tells a StreamOwner what they mean.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.ingest.stream import state as stream_state
from actors.ingest.stream.audio import StreamAudio
from actors.ingest.stream.limits import EventLimit, MalformedMessages
from patchbay.auth.tokens import granted_calls
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol import batches, events, telnyx
from patchbay.protocol.lenient_json import Malformed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from config.settings import IngestSettings
    from patchbay.websocket.connection import WebSocketConnection

log = logging.getLogger(__name__)

STARTS_PER_S: Final = 1.0  # of one stream, in the long run: a hold or a transfer brings a few
STARTS_BURST: Final = 20
UNNUMBERED_RUN: Final = 50  # frames in a row whose chunk can't be read: after so many they are taken as they come


class StreamOwner(Protocol):
    """Has the settings, counters and clock that streams share, and handles what happens to each stream.

    Attributes:
        replay_frames: frames of each track that are kept for a listener who joins.
        now: the clock, in seconds.
    """

    settings: IngestSettings
    counters: Counter[str]
    replay_frames: int
    now: Callable[[], float]

    def admits(self, stream: Stream, start: telnyx.Start) -> bool:
        """Tell whether a stream may begin now; if not, the owner calls `begin`, or closes the stream, later."""

    def on_start(self, stream: Stream) -> None:
        """Handle the begin of a stream, or a start frame that says something new."""

    def on_repeated_start(self, stream: Stream) -> None:
        """Handle a start frame that says the same as before: after a hold, for example."""

    def on_stop(self, stream: Stream, raw: bytes) -> None:
        """Handle a stop frame."""

    def on_lost(self, stream: Stream, reason: str) -> None:
        """Handle the end of a stream without a stop frame."""

    def on_renumbered(self, stream: Stream) -> None:
        """Handle a new numbering of frames within a stream."""

    def on_held(self, audio: StreamAudio) -> None:
        """Handle a frame that is held for a missing one: call `audio.expire` soon."""

    def on_error(self, stream: Stream, error: telnyx.StreamError) -> None:
        """Handle an error that Telnyx reports."""

    def on_dtmf(self, stream: Stream, dtmf: telnyx.Dtmf) -> None:
        """Handle a key that was pressed."""

    def on_mark(self, stream: Stream, mark: telnyx.Mark, *, is_recorded: bool) -> None:
        """Handle a mark that Telnyx has sent back. `is_recorded`: the event limit allows an event of it."""

    def close(self, stream: Stream, reason: str) -> None:
        """Close a connection that breaks the protocol, or does something that it may not do."""


class Stream:
    """Holds the state of one media stream, and handles its messages.

    Attributes:
        number: the connection's number; later streams have higher ones.
        start: the start frame; None while the stream carries no call.
        call: digest of the call control id.
        started_at: seconds since 1970.
        on_text: takes one message.
        stats_fields: fields of the statistics that do not change; `actors.ingest.stats` keeps them here.
        talker: the talker who has the floor.
        in_order: a predecessor handed this stream over, and did not crash.
        is_leaving: this process hands the stream over.
        is_closing: the connection is being closed.
        mended: messages of which a part that is not needed could not be read.
        idle_since: since when the stream carries no call, by the owner's clock.
    """

    def __init__(self, owner: StreamOwner, peer: WebSocketConnection) -> None:
        self._owner = owner
        self.peer = peer
        self.number = peer.handed.id
        self.start: telnyx.Start | None = None
        self.call = b""
        self.started_at = 0.0
        self.stats_fields: dict[str, Any] | None = None
        self.talker: int | None = None
        self.in_order = False
        self.is_leaving = False
        self.is_closing = False
        self.mended = 0
        self.malformed = MalformedMessages(owner.settings.rubbish_limit)
        self.event_limit = EventLimit(owner.settings.events_per_s, owner.settings.events_burst)
        self.audio = StreamAudio(
            owner.settings,
            peer,
            owner.replay_frames,
            owner.now,
            on_other=self._on_message,
            on_held=owner.on_held,
            on_renumbered=self._on_renumbered,
        )
        self.on_text = self.audio.on_text
        self.idle_since = owner.now()
        self._others = 0  # readable messages that are no media
        self._starts = RateLimit(STARTS_PER_S, STARTS_BURST)

    @property
    def log_fields(self) -> dict[str, str]:
        """The fields of every log line about this stream."""
        if self.start is None:
            return {"peer": self.peer.handed.peer}
        return {"call_control_id": self.start.call_control_id, "stream_id": self.start.stream_id or ""}

    def counters(self) -> dict[str, int]:
        """Return gaps, duplicates, late and reordered frames, and malformed and mended messages."""
        return {**self.audio.counters(), "malformed": self.malformed.total, "mended": self.mended}

    def on_binary(self, message: bytes) -> None:
        """Count a binary message as unreadable: Telnyx sends none."""
        self._on_malformed(Malformed(f"a binary message of {len(message)} bytes"))

    def begin(self, start: telnyx.Start) -> None:
        """Carry this call from now on. `start` has been admitted."""
        before = self.start
        if before is not None:
            self.audio.flush()
            if before.digest == start.digest:
                self.audio.reset()  # the numbers may begin anew
                self._owner.on_repeated_start(self)
                return
            if before.call_control_id != start.call_control_id:
                self._owner.on_lost(self, "its connection carries another call now")
        self._carry(start)
        self.started_at = time.time()
        self.audio.reset()
        self._owner.on_start(self)

    def resume(self, state: bytes) -> bool:
        """Go on where a predecessor was, from its `state`. False when the stream had not begun there."""
        left = stream_state.decode(state)
        self.talker, self.in_order = left.talker, left.in_order
        self.audio.resume(left.tracks)
        if not left.start:
            return False
        frame = telnyx.decode(left.start)
        if not isinstance(frame, telnyx.Start):
            return False
        self._others += 1
        if left.started_at == stream_state.NOT_BEGUN:
            self._on_start(frame)
            return False
        self._carry(frame)
        self.started_at = left.started_at
        return True

    def state(self) -> bytes:
        """Return the state for a successor, encoded."""
        start = self.start.raw if self.start else b""
        tracks = self.audio.state(is_handed_over=self.is_leaving)
        return stream_state.encode(
            stream_state.StreamState(start, self.started_at, self.talker, self.is_leaving, tracks)
        )

    @staticmethod
    def waiting_state(start: telnyx.Start) -> bytes:
        """Return the state for a successor while the stream waits for its admission."""
        return stream_state.encode(stream_state.StreamState(start.raw, stream_state.NOT_BEGUN, None, False))

    def release(self) -> None:
        """Let go of the reader: the connection has ended, and nothing more comes."""
        self.audio.release()

    # ---- messages

    def _on_message(self, message: bytes) -> None:
        """Take a message that is not a plain media frame. Raises UnicodeDecodeError for text that is not UTF-8."""
        mended: list[str] = []
        try:
            frame = telnyx.decode(message, mended)
        except Malformed as error:
            message.decode()  # the WebSocket closes the connection for what is not UTF-8
            self._on_malformed(error)
            if isinstance(error, telnyx.TooLong) and self.start is None:
                self._owner.close(self, str(error))  # the call can't begin; the sender should know why
            return
        if mended and not self._accept_mended(frame, mended):
            return
        if type(frame) is telnyx.Media:
            self.audio.push(frame)
        else:
            self._others += 1
            self._on_frame(frame)

    def _accept_mended(self, frame: telnyx.Frame, mended: list[str]) -> bool:
        """Count a frame of which a part could not be read. False for audio whose place among numbered audio is lost."""
        is_unplaced = type(frame) is telnyx.Media and telnyx.CHUNK in mended and self.audio.is_numbered(frame)
        if is_unplaced and self.malformed.in_a_row < UNNUMBERED_RUN:
            self._on_malformed(Malformed(f"{telnyx.CHUNK} is not a number"))
            return False
        self.mended += 1
        self._owner.counters["messages_mended"] += 1
        if self.mended == 1:
            log.warning("a message was read in part; not: %s", ", ".join(mended), extra=self.log_fields)
        return True

    def _on_frame(self, frame: telnyx.Frame) -> None:
        self.peer.take_soon = (
            True  # a successor would do this twice; audio that it reads twice is known by its position
        )
        match frame:
            case telnyx.Start():
                self._on_start(frame)
            case telnyx.Stop():
                self._on_stop(frame)
            case telnyx.StreamError():
                if self._is_recorded(events.STREAM_ERROR):
                    log.warning("Telnyx: %s (%s): %s", frame.title, frame.code, frame.detail, extra=self.log_fields)
                    self._owner.on_error(self, frame)
            case telnyx.Dtmf():
                if self._is_recorded(events.STREAM_DTMF):
                    self._owner.on_dtmf(self, frame)
            case telnyx.Mark():
                self._owner.on_mark(self, frame, is_recorded=self._is_recorded(events.STREAM_MARK))
            case telnyx.Connected() | telnyx.Unknown() | telnyx.Media():
                pass  # greetings, and frames of future versions of the protocol, are accepted

    def _is_recorded(self, event_type: str) -> bool:
        if self.event_limit.allows(event_type, self._owner.now()):
            return True
        self._owner.counters["events_unrecorded"] += 1
        return False

    def _on_start(self, start: telnyx.Start) -> None:
        calls = granted_calls(self.peer.handed.claims)
        if not self._starts.spend(1, self._owner.now()):
            self._owner.close(self, "too many start frames")
        elif calls is not None and start.call_control_id not in calls:
            self._owner.close(self, "the token of this stream is not for this call")
        elif self._owner.admits(self, start):
            self.begin(start)

    def _carry(self, start: telnyx.Start) -> None:
        self.start = start
        self.call = batches.digest(start.call_control_id)
        self.stats_fields = None
        self.audio.set_source(self.number, self.call)

    def _on_stop(self, stop: telnyx.Stop) -> None:
        if self.start is None:
            return
        self.audio.flush()
        self._owner.on_stop(self, stop.raw)
        self.start = None
        self.idle_since = self._owner.now()

    def _on_renumbered(self) -> None:
        self._owner.on_renumbered(self)

    def _on_malformed(self, error: Malformed) -> None:
        is_too_many = self.malformed.add(self._others + sum(self.audio.frames))
        if self.malformed.should_log(self._owner.now()):
            log.warning("unreadable message: %s", error, extra=self.log_fields)
        if is_too_many:
            self._owner.close(self, f"{self.malformed.in_a_row} unreadable messages in a row, the last: {error}")
