"""Joins all media streams of one ingest process with fan-outs, talk, call events, and the clock.

All of it runs on one thread between two awaits, so nothing needs a lock.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import trio

from actors.ingest.admission import Admission
from actors.ingest.closer import Closer
from actors.ingest.notifier import Notifier
from actors.ingest.registry import StreamRegistry
from actors.ingest.stats import StatsReporter
from actors.ingest.stream.state import STATE_MAX_BYTES
from actors.ingest.talk.receiver import TalkReceiver
from actors.ingest.talk.router import TalkRouter
from actors.ingest.ticker import Ticker
from patchbay.bus.batcher import Batcher
from patchbay.process.periodic import SECOND, every
from patchbay.protocol import batches, events
from patchbay.protocol.errors import CLOSE_POLICY
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.talk import FRAME_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.ingest.stream.audio import StreamAudio
    from actors.ingest.stream.stream import Stream
    from actors.ingest.talk.receiver import TakeTalk
    from config import Settings
    from patchbay.bus.event_sender import EventSender
    from patchbay.bus.sockets import BusSocket
    from patchbay.process.identity import Identity
    from patchbay.protocol.telnyx import Dtmf, Mark, Start, StreamError

log = logging.getLogger(__name__)


class Streams:
    """Owns the streams of this process, and handles what happens to each (`StreamOwner`).

    Args:
        take_talk: takes plain talk in C; None where that is not built.
    """

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        publisher: BusSocket,
        events: EventSender,
        take_talk: TakeTalk | None = None,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self.settings = settings.ingest
        self.now = now
        self.counters: Counter[str] = Counter()
        self.replay_frames = round(settings.fanout.replay_ms / FRAME_MS)
        self._publisher = publisher
        self._events = events
        self.ticker = Ticker(self._on_tick, now)
        self.batcher = Batcher(publisher, identity, on_fanout=self._on_fanout, on_interest=self._on_interest)
        self._notifier = Notifier(self.batcher, events, now, self.ticker.wake)
        self.talk_router = TalkRouter(
            settings.talk, include_stream_id=settings.telnyx.include_stream_id, batcher=self.batcher
        )
        self.closer = Closer()
        self.registry = StreamRegistry(self.batcher, self.talk_router, self._notifier, self.closer, self.counters)
        self.talk_receiver = TalkReceiver(self.talk_router, self.registry.by_call, take_talk, self.registry.supersede)
        self.admission = Admission(is_needed=settings.ingest.announced_within_s > 0)
        self._stats = StatsReporter(identity)
        self._held: set[StreamAudio] = set()  # with frames that are held for missing ones

    # ---- from streams

    def admits(self, stream: Stream, start: Start) -> bool:
        """Tell whether a stream may begin now; if not, it begins, or is closed, later."""
        if self.admission.admits(stream, start, self.now(), time.time()):
            return True
        if stream.start is None:  # else the state of the call that it carries is worth more
            self._set_state(stream, stream.waiting_state(start))
        return False

    def on_start(self, stream: Stream) -> None:
        """Give a stream its call, and tell everybody."""
        if stream.start is None or not self.registry.add(stream, self.now()):
            return
        self._set_state(stream, stream.state())
        self._notifier.publish(stream, batches.START, stream.start.raw)
        media_format = msgspec.structs.asdict(stream.start.media_format)
        self._notifier.record(stream, events.STREAM_STARTED, {"media_format": media_format})
        log.info("stream started", extra=stream.log_fields)
        self.counters["streams_started"] += 1
        self._request_stats()

    def on_repeated_start(self, stream: Stream) -> None:
        """Count a start frame that says the same as the one before."""
        log.info("stream announced again, unchanged", extra=stream.log_fields)
        self.counters["starts_repeated"] += 1

    def on_stop(self, stream: Stream, raw: bytes) -> None:
        """Tell everybody that a stream is over."""
        if self.registry.holds(stream):
            self.registry.remove(stream)
            self._notifier.publish(stream, batches.STOP, raw)
        self._notifier.record_lost(stream)
        frames = sum(stream.audio.frames)
        self._notifier.record(stream, events.STREAM_STOPPED, {"frames": frames, **stream.counters()})
        stream.peer.handed.set_state(b"")
        log.info("stream stopped", extra={**stream.log_fields, "frames": frames})
        self._request_stats()

    def on_lost(self, stream: Stream, reason: str = "connection lost without a stop frame") -> None:
        """Tell everybody that a stream has ended without a stop frame."""
        self.admission.remove(stream)
        if stream.start is not None and self.registry.holds(stream):
            self.registry.remove(stream)
            self._notifier.publish(stream, batches.GONE, b"")
            self._notifier.record_lost(stream)
            self._notifier.record(stream, events.STREAM_FAILED, {"reason": reason})
            log.warning("stream lost: %s", reason, extra=stream.log_fields)
            self._request_stats()

    def on_renumbered(self, stream: Stream) -> None:
        """Have the gateway keep the new numbers for a successor."""
        self.counters["streams_renumbered"] += 1
        if self.registry.holds(stream):
            self._set_state(stream, stream.state())

    def on_held(self, audio: StreamAudio) -> None:
        """Have a frame that is held for a missing one queued, when its time has come."""
        self._held.add(audio)
        self.ticker.wake()

    def on_error(self, stream: Stream, error: StreamError) -> None:
        """Pass an error of Telnyx on: to listeners verbatim, to call events in fields."""
        self._notifier.publish(stream, batches.ERROR, error.raw)
        payload = {"code": error.code, "title": error.title, "detail": error.detail}
        self._notifier.record(stream, events.STREAM_ERROR, payload)

    def on_dtmf(self, stream: Stream, dtmf: Dtmf) -> None:
        """Record a key that was pressed."""
        self._notifier.record(stream, events.STREAM_DTMF, {"digit": dtmf.digit}, dtmf.occurred_at)

    def on_mark(self, stream: Stream, mark: Mark, *, is_recorded: bool) -> None:
        """Tell who asked for a mark that all talk before it has been played, or cleared."""
        if is_recorded:
            self._notifier.record(stream, events.STREAM_MARK, {"name": mark.name})
        self.talk_router.on_mark(stream, mark.name)
        self.ticker.wake()

    def close(self, stream: Stream, reason: str, counter: str = "closed_for_rubbish") -> None:
        """Close a connection for what it does, or does not do."""
        if self.closer.add(stream, CLOSE_POLICY, reason):
            self.counters[counter] += 1
            log.warning("closing a stream: %s", reason, extra=stream.log_fields)

    # ---- from connections

    def close_if_idle(self, stream: Stream) -> None:
        """Close a connection that has carried no call for too long."""
        timeout_s = self.settings.start_timeout_s
        if stream.start is None and self.now() - stream.idle_since > timeout_s:
            self.close(stream, f"no start frame within {timeout_s:g} s", "closed_without_start")

    def on_resume(self, stream: Stream) -> None:
        """Go on with a stream that a predecessor served."""
        if stream.start is None or not self.registry.add(stream, self.now()):
            return
        stream.peer.handed.set_state(stream.state())  # this process has not handed the stream over (yet)
        self._notifier.publish(stream, batches.START, stream.start.raw)
        self.talk_receiver.resume(stream, self.now())
        log.info("stream resumed", extra=stream.log_fields)
        self.counters["streams_resumed"] += 1

    def on_leave(self, stream: Stream) -> None:
        """Tell fan-outs that a stream is about to go on in another process: all of its audio has been queued."""
        if self.registry.holds(stream):
            stream.is_leaving = True
            stream.peer.handed.set_state(stream.state())
            self._notifier.publish(stream, batches.LEFT, b"")

    def on_parked(self, stream: Stream) -> None:
        """Forget a stream with which a successor goes on."""
        self.admission.remove(stream)
        if self.registry.holds(stream):
            self.registry.remove(stream, is_moved=True)

    def on_superseded(self, stream: Stream) -> None:
        """Close a stream whose call a newer connection has, here or in another process."""
        self.registry.supersede(stream, self.now())

    # ---- from other processes

    def receive_talk(self, messages: list[bytes]) -> None:
        """Take messages of talk from fan-outs."""
        now = self.now()
        for message in messages:
            self.talk_receiver.receive(message, now)
        self.batcher.flush()
        if self.talk_receiver.is_waiting:
            self.ticker.wake()

    async def receive_announcements(self, subscriber: BusSocket) -> None:
        """Receive which calls webhooks have announced, and begin the streams that have waited for that. For ever."""
        while True:
            for message in await subscriber.receive_many():
                try:
                    self.admission.receive(message)
                except Malformed as error:
                    log.error("unreadable announcement from call events: %s", error)
            for stream, start in self.admission.take_announced(time.time()):
                stream.begin(start)

    def _on_fanout(self, fanout_index: int) -> None:
        """Tell a fan-out that has come about all streams."""
        if (queue := self.batcher.queue(fanout_index)) is not None:
            self._notifier.replay(queue, self.registry.live, self.talk_router.known_floor_entry)

    def _on_interest(self, call: bytes) -> None:
        self.registry.route(call)

    # ---- from the clock

    async def run_seconds(self) -> None:
        """Do what is due every second, and at once the first time. For ever."""
        self.on_second()
        await every(SECOND, self.on_second)

    def on_second(self) -> None:
        """Close streams that nobody has announced, free floors after silence, publish statistics and live streams."""
        now = self.now()
        for stream in self.admission.take_overdue(now):
            self.counters["streams_unannounced"] += 1
            self.close(stream, "no signed webhook has announced this call")
        for stream in self.registry.live:
            self._notifier.record_lost(stream)
        self.talk_router.poll(now)
        self.batcher.expire_interest(now)
        self.ticker.wake()
        self._publish_stats(now)
        self._notifier.publish_live(self.registry.live)

    def _on_tick(self, now: float) -> float | None:
        """Queue frames that were held for long enough; send talk and statistics. Returns when more is due."""
        self._held = {audio for audio in self._held if audio.expire(now)}
        if in_vain := self.talk_receiver.send_due(now):
            self.counters["talk_without_call"] += in_vain
        if (stats_due := self._stats.due_at) is not None and now >= stats_due:
            self._publish_stats(now)
        self.batcher.flush()
        dues = (now if self._held else None, self.talk_receiver.next_due, self._stats.due_at)
        return min((due for due in dues if due is not None), default=None)

    def _publish_stats(self, now: float) -> None:
        counters = {
            **self.counters,
            **self._events.totals(),
            "batches": self.batcher.batches,
            "bus_refused": self._publisher.dropped,
            "talk_refused": self.talk_router.notifier.refused,
            "talk_failed": self.talk_receiver.failed,
            "talk_dropped_ms": self.talk_router.notifier.dropped_ms,
        }
        live = [(stream, self.talk_router.holder(stream)) for stream in self.registry.live]
        self._publisher.send_nowait(self._stats.make(live, counters, now))

    def _request_stats(self) -> None:
        self._stats.request()
        self.ticker.wake()

    def _set_state(self, stream: Stream, state: bytes) -> None:
        if len(state) <= STATE_MAX_BYTES:
            stream.peer.handed.set_state(state)
        else:
            log.warning(
                "start frame of %d bytes: this stream would not outlive a crash", len(state), extra=stream.log_fields
            )
