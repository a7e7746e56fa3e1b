"""All media streams of one ingest process: which call has which, who is told, and what happens to each.

Joins streams, batcher (what leaves for fan-outs), talk (what comes back) and events. Everything here runs on one
thread between two awaits, so nothing needs a lock.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import trio

from actors.ingest.admission import Admission
from actors.ingest.batcher import Batcher
from actors.ingest.bus_entries import entry_of, live_entries
from actors.ingest.closer import Closer
from actors.ingest.contest import Contests
from actors.ingest.stats import about, media_format, report
from actors.ingest.talk.receiver import TalkReceiver
from actors.ingest.talk.router import TalkRouter
from patchbay.bus.event_sender import LOST
from patchbay.net.event_loop import Callback
from patchbay.process.periodic import SECOND, every
from patchbay.process.ttl_cache import TtlCache
from patchbay.protocol import batches
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.talk import FRAME_MS
from patchbay.websocket.frames import CLOSE_NORMAL, CLOSE_POLICY

if TYPE_CHECKING:
    from collections.abc import Collection

    from actors.ingest.contest import Contest
    from actors.ingest.stream import Stream
    from actors.ingest.talk.receiver import TakeTalk
    from config import Settings
    from patchbay.bus.event_sender import EventSender
    from patchbay.bus.sockets import BusSocket
    from patchbay.process.identity import Identity
    from patchbay.protocol.telnyx import Start

log = logging.getLogger(__name__)

TICK_S = 0.005  # how exactly time-outs of a few 20 ms are kept
LIVE_INTERVAL_S = 2.0
STATS_INTERVAL_S = 50e-6  # for each stream, between what is said of changes: ten times what that takes
TOLD_AGAIN_S = 15.0  # what has ended, to fan-outs that were not there: longer than one takes to come back
TOLD_AGAIN_MAX = 1000
NOTE_MAX_BYTES = 16 * 1024  # of a start frame, which is shorter, and what else a successor needs


class Streams:
    """The streams of this process. `take_talk`: does faster what is plain about talk, where it is there."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        publisher: BusSocket,
        events: EventSender,
        take_talk: TakeTalk | None = None,
    ) -> None:
        self.settings = settings.ingest
        self.now = trio.current_time
        self._identity = identity
        self._publisher = publisher
        self._events = events
        self.batcher = Batcher(publisher, identity, on_fanout=self._tell_everything, on_interest=self._route)
        self.talk_router = TalkRouter(
            settings.talk, include_stream_id=settings.telnyx.include_stream_id, batcher=self.batcher
        )
        self._streams: dict[bytes, Stream] = {}  # live ones, by call
        self._waiting: set[Stream] = set()  # that hold frames for missing ones
        self._ended: TtlCache[bytes] = TtlCache(TOLD_AGAIN_S, TOLD_AGAIN_MAX)  # entries
        self.talk_switch = TalkReceiver(self.talk_router, self._streams, take_talk)
        self._admission = Admission(is_needed=settings.ingest.announced_within_s > 0)
        self._callback = Callback(self._do)
        self._ticked_at = float("-inf")
        self._stats_due = False
        self._stats_from = float("-inf")
        self._next_live = 0.0
        self.endings = Closer()
        self._contests = Contests()
        self.counters: Counter[str] = Counter()
        self.replay_frames = round(settings.fanout.replay_ms / FRAME_MS)

    @property
    def live(self) -> Collection[Stream]:
        """The streams that are their calls'."""
        return self._streams.values()

    # ---- what streams tell

    def admits(self, stream: Stream, start: Start) -> bool:
        """Whether a stream may begin now; if not, it is begun, or closed, later."""
        if self._admission.admits(stream, start, self.now(), time.time()):
            return True
        if stream.start is None:  # else what goes on meanwhile is worth more than what may begin
            self._set_note(stream, stream.note_of_waiting(start))
        return False

    def started(self, stream: Stream) -> None:
        """A stream has begun: it is its call's from now on."""
        if not self._take_over(stream):
            return
        if stream.start is not None:
            self._set_note(stream, stream.note())
            self.news(stream, batches.START, stream.start.raw)
            self.event(stream, "stream.started", {"media_format": media_format(stream)})
        log.info("stream started", extra=stream.about)
        self.counters["streams_started"] += 1
        self._changed()

    def started_again(self, stream: Stream) -> None:
        """Telnyx has said once more what was known of a stream: after a hold, say."""
        log.info("stream announced again, unchanged", extra=stream.about)
        self.counters["starts_repeated"] += 1

    def resumed(self, stream: Stream) -> None:
        """A stream goes on that a predecessor served."""
        if stream.start is None or not self._take_over(stream):
            return
        stream.peer.handed.set_note(stream.note())  # we have not handed it over (yet)
        self.news(stream, batches.START, stream.start.raw)
        self.talk_switch.resume(stream, self.now())
        log.info("stream resumed", extra=stream.about)
        self.counters["streams_resumed"] += 1

    def stopped(self, stream: Stream, raw: bytes) -> None:
        """Telnyx has said that a stream is over."""
        if self._streams.get(stream.call) is stream:
            self._forget(stream)
            self.news(stream, batches.STOP, raw)
        self._tell_unrecorded(stream)
        self.event(stream, "stream.stopped", {"frames": sum(stream.frames), **stream.counters()})
        stream.peer.handed.set_note(b"")
        log.info("stream stopped", extra={**stream.about, "frames": sum(stream.frames)})
        self._changed()

    def gone(self, stream: Stream, reason: str = "connection lost without a stop frame") -> None:
        """A stream has ended, and Telnyx has not said so."""
        self._admission.forget(stream)
        if stream.start is not None and self._streams.get(stream.call) is stream:
            self._forget(stream)
            self.news(stream, batches.GONE, b"")
            self._tell_unrecorded(stream)
            self.event(stream, "stream.failed", {"reason": reason})
            log.warning("stream lost: %s", reason, extra=stream.about)
            self._changed()

    def renumbered(self, stream: Stream) -> None:
        """Telnyx's numbers have begun anew within a stream; its frames go on."""
        self.counters["streams_renumbered"] += 1
        if self._streams.get(stream.call) is stream:
            self._set_note(stream, stream.note())

    def leave(self, stream: Stream) -> None:
        """This stream is about to go on in another process, and all that it had here has been sent."""
        if self._streams.get(stream.call) is stream:
            stream.leaving = True
            stream.peer.handed.set_note(stream.note())
            self.news(stream, batches.LEFT, b"")

    def parked(self, stream: Stream) -> None:
        """A successor goes on with this stream."""
        self._admission.forget(stream)
        if self._streams.get(stream.call) is stream:
            self._forget(stream, moved=True)

    def end(self, stream: Stream, reason: str, counter: str = "closed_for_rubbish") -> None:
        """Close a connection that makes no sense."""
        if self.endings.add(stream, CLOSE_POLICY, reason):
            self.counters[counter] += 1
            log.warning("closing a stream: %s", reason, extra=stream.about)

    def end_if_silent(self, stream: Stream) -> None:
        """Close a connection that has carried no call for too long."""
        timeout_s = self.settings.start_timeout_s
        if stream.start is None and self.now() - stream.silent_since > timeout_s:
            self.end(stream, f"no start frame within {timeout_s:g} s", "closed_without_start")

    def superseded(self, stream: Stream) -> None:
        """A newer connection, here or in another process, stands for this stream's call."""
        if self._streams.get(stream.call) is stream:
            self._forget(stream)
        self._supersede(stream)

    def news(self, stream: Stream, kind: int, payload: bytes) -> None:
        """Tell every fan-out."""
        entry = entry_of(stream, kind, payload)
        if kind in batches.ENDS:
            self._ended.put(stream.number, entry, self.now())
        for queue in self.batcher.everywhere():
            queue.append(entry)
        self.needs_flush()

    def event(self, stream: Stream, kind: str, payload: dict[str, Any], occurred_at: str | None = None) -> None:
        """Tell call events."""
        self._events.send_nowait(kind, {**about(stream), **payload}, occurred_at, source=stream.number)

    def marked(self, stream: Stream, name: str, *, is_recorded: bool = True) -> None:
        """Telnyx has sent a mark back: all that was said before it has been played, or cleared."""
        if is_recorded:
            self.event(stream, "stream.mark", {"name": name})
        self.talk_router.marked(stream, name)
        self.needs_flush()

    def needs_time(self, stream: Stream) -> None:
        """A stream holds frames for a missing one and must be looked at soon."""
        self._waiting.add(stream)
        self._wake()

    def needs_flush(self) -> None:
        """Something is to be sent though no round may be coming."""
        self._wake()

    def talk(self, messages: list[bytes]) -> None:
        """Take messages of talk from fan-outs."""
        now = self.now()
        for message in messages:
            self.talk_switch.take(message, now)
        self.batcher.flush()
        if self.talk_switch.is_waiting:
            self._wake()

    # ---- tasks

    async def hear_announcements(self, subscriber: BusSocket) -> None:
        """Learn which calls webhooks have announced, and begin what has waited for that. For ever."""
        while True:
            for message in await subscriber.receive_many():
                try:
                    self._admission.take(message)
                except Malformed as error:
                    log.error("from call events: %s", error)
            for stream, start in self._admission.ready(time.time()):
                stream.begin(start)

    async def tick(self) -> None:
        """Do what time alone brings: let go of held frames, send paced talk. For ever; sleeps while there is nothing."""
        await self._callback.run()

    def _wake(self) -> None:
        self._callback.schedule(self._ticked_at + TICK_S)

    def _do(self) -> float | None:
        now = self._ticked_at = self.now()
        self._waiting = {stream for stream in self._waiting if stream.expire(now)}
        if in_vain := self.talk_switch.due(now):
            self.counters["talk_without_call"] += in_vain
        if self._stats_due and now >= self._stats_from:
            self.publish_stats()
        self.batcher.flush()
        dues = [
            now if self._waiting else self.talk_switch.next_due,
            self._stats_from if self._stats_due else None,
        ]
        due = min((due for due in dues if due is not None), default=None)
        return None if due is None else max(due, now + TICK_S)

    async def report(self) -> None:
        """Publish statistics, and now and then which streams are live, so that nobody keeps a stale one. For ever."""
        self._report()
        await every(SECOND, self._report)

    def _report(self) -> None:
        now = self.now()
        for stream in self._admission.overdue(now):
            self.counters["streams_unannounced"] += 1
            self.end(stream, "no signed webhook has announced this call")
        for stream in self.live:
            self._tell_unrecorded(stream)
        self.talk_router.look(now)
        self.batcher.fade(now)
        self.needs_flush()
        self.publish_stats()
        if now >= self._next_live:
            self._next_live = now + LIVE_INTERVAL_S
            for queue in self.batcher.everywhere():
                queue.extend(live_entries(self.live))

    def publish_stats(self) -> None:
        """Say what there is, for the console. All of it each time, so not with each change."""
        self._stats_due = False
        self._stats_from = self.now() + STATS_INTERVAL_S * len(self._streams)
        counters = {
            **self.counters,
            **self._events.totals(),
            "batches": self.batcher.batches,
            "bus_refused": self._publisher.dropped,
            "talk_refused": self.talk_router.refused,
            "talk_failed": self.talk_switch.failed,
            "talk_dropped_ms": self.talk_router.dropped_ms,
        }
        live = ((stream, self.talk_router.holder(stream)) for stream in self.live)
        self._publisher.send_nowait(report(self._identity, live, counters))

    # ---- helpers

    def _tell_unrecorded(self, stream: Stream) -> None:
        if lost := stream.take_unrecorded():
            log.warning("more events than are recorded: %s", lost, extra=stream.about)
            self.event(stream, LOST, {"lost": lost})

    def _set_note(self, stream: Stream, note: bytes) -> None:
        if len(note) <= NOTE_MAX_BYTES:
            stream.peer.handed.set_note(note)
        else:
            log.warning("start frame of %d bytes: this stream would not outlive a crash", len(note), extra=stream.about)

    def _take_over(self, stream: Stream) -> bool:
        """Of two streams of a call the newer connection is the call's. False when that is not this one."""
        previous = self._streams.get(stream.call)
        if previous is not None and previous.number > stream.number:
            self._supersede(stream)
            return False
        if previous is stream:
            self.talk_router.format_changed(stream)
        elif previous is not None:
            self._forget(previous)
            self._supersede(previous)
        self._streams[stream.call] = stream
        stream.route(self.batcher.queues_of(stream.call))
        stream.peer.handed.claim(stream.call)
        return True

    def _supersede(self, stream: Stream) -> None:
        if not stream.ending:
            self.counters["streams_superseded"] += 1
            contest = self._contests.superseded(stream.call, self.now())
            if contest.wait_s:
                self._tell_contest(stream, contest)
            else:
                log.info("stream superseded by a newer one of the same call", extra=stream.about)
            self.endings.add(stream, CLOSE_NORMAL, "superseded by a newer stream of this call", contest.wait_s)
        stream.start = None
        stream.leave_calls()

    def _tell_contest(self, stream: Stream, contest: Contest) -> None:
        self.counters["streams_contested"] += 1
        log.warning(
            "streams of one call take turns (%d times of late): is its stream started twice? The one that has lost is"
            " closed after %.0f s",
            contest.times,
            contest.wait_s,
            extra=stream.about,
        )
        self.event(stream, "stream.contested", {"times": contest.times, "closed_after_s": contest.wait_s})

    def _forget(self, stream: Stream, *, moved: bool = False) -> None:
        self.talk_router.forget(stream, moved=moved)
        del self._streams[stream.call]
        stream.leave_calls()
        self._waiting.discard(stream)

    def _changed(self) -> None:
        self._stats_due = True
        self.needs_flush()

    def _route(self, call: bytes) -> None:
        if call == batches.EVERY_CALL:
            for stream in list(self._streams.values()):
                stream.look()
                stream.route(self.batcher.queues_of(stream.call))
        elif (wanted := self._streams.get(call)) is not None:
            wanted.look()
            wanted.route(self.batcher.queues_of(call))

    def _tell_everything(self, fanout_index: int) -> None:
        queue = self.batcher.queue(fanout_index)
        if queue is None:
            return
        queue.extend(self._ended.all(self.now()))
        for stream in self.live:
            if stream.start is not None:
                queue.append(entry_of(stream, batches.START, stream.start.raw))
                if (floor := self.talk_router.floor_entry(stream, batches.KNOWN)) is not None:
                    queue.append(floor)
        queue.extend(live_entries(self.live))
        self.needs_flush()
