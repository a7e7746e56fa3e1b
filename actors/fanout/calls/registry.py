"""All live calls of the system as this fan-out process knows them, and who listens to which.

Fed with batches from the bus. Keeps the bus's interest in step with its listeners, tells listeners what happens to
their calls, and forgets calls that nobody confirms any more. No I/O of its own: writes go to listeners' send queues.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, Final

import orjson

from actors.fanout.calls.call import Call
from actors.fanout.calls.gap_counter import GapCounter
from actors.fanout.calls.in_order import InOrder
from actors.fanout.calls.interest import Interest
from actors.fanout.calls.replay_buffer import ReplayBuffer
from actors.fanout.calls.track import TrackIndex, deliver_audio
from actors.fanout.decoder.queue import DecodingQueue
from patchbay.net.batched_send import BatchedSend
from patchbay.process.ttl_cache import TtlCache
from patchbay.protocol import batches, telnyx
from patchbay.protocol.lenient_json import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.audit import Audit
    from actors.fanout.calls.publisher_handover import Placed
    from actors.fanout.calls.track import Deliver

log = logging.getLogger(__name__)

TALK_NEWS: Final = (batches.REFUSED, batches.MARKED, batches.DROPPED)
FORGET_AFTER_S: Final = 15.0  # longer than a connection waits for its ingest's next process
ENDED_KEPT_S: Final = 20.0  # longer than a connection waits for our successor, who must tell its listener
ENDED_KEPT_MAX: Final = 2000
# Times what is replayed: one that was handed over gets all that it missed, and a move may take longer.
MOMENTS_KEPT: Final = 2


class Calls(InOrder):
    """The registry.

    Args:
        subscribe, unsubscribe: change this process's interest on the bus.
        audit: told who hears and who speaks.
        batched_send: what carries frames to listeners; nothing is left in it when `receive` returns.
        in_c: delivers what is plain audio faster, where it is there.
        decoding: what needs a decoder waits there.
        on_talk_news: called with (kind, what the ingest says of somebody's talk).
    """

    def __init__(
        self,
        fanout_index: int,
        replay_s: float,
        subscribe: Callable[[bytes], None],
        unsubscribe: Callable[[bytes], None],
        on_talk_news: Callable[[int, dict[str, Any]], None],
        audit: Audit | None = None,
        batched_send: BatchedSend | None = None,
        in_c: Deliver | None = None,
        decoding: DecodingQueue | None = None,
    ) -> None:
        self._ended: TtlCache[tuple[batches.EndReason, bytes]] = TtlCache(ENDED_KEPT_S, ENDED_KEPT_MAX)  # by stream
        interest = Interest(fanout_index, subscribe, unsubscribe)
        super().__init__(interest, self._ended, audit, decoding or DecodingQueue(), batched_send or BatchedSend(None))
        self._replay_s = replay_s
        self._on_talk_news = on_talk_news
        self._in_c = in_c
        self.heard_from: set[int] = set()  # ingest processes that have said which calls they have
        self._gaps = GapCounter()
        self._moving: set[Call] = set()  # from one ingest process to the next
        self._replay_buffer = ReplayBuffer(MOMENTS_KEPT * replay_s)
        self._lanes = TrackIndex()

    # ---- from the bus

    def receive(self, message: bytes, now: float) -> None:
        """Take in one batch."""
        try:
            batch, at = batches.unpack_batch(message)
            if lost := self._gaps.lost_before(batch):
                self.counters["batches_lost"] += lost
            self._clock.time_us = batch.time_us
            place = self._replay_buffer.keep(message, now)
            while at < len(message):
                at = self._deliver(message, at, place, batch.epoch, now)
                if at < len(message):
                    at = self._take_entry(message, at, place, batch, now)
        except (batches.BusFormatError, struct.error) as error:
            self.counters["bad_batches"] += 1
            log.error("unreadable batch: %s", error)
        for call in [call for call in self._moving if not self._still_moving(call, now)]:
            self._moving.discard(call)
        self.go_on(now)

    def _deliver(self, message: bytes, at: int, place: int, epoch: int, now: float) -> int:
        """Deliver the audio that begins there. Returns where the first other entry does."""
        tracks = self._lanes.of(epoch)
        failed = False
        if self._in_c is not None:
            try:
                at, heard = self._in_c(message, at, place, tracks, now)
                self.heard += heard
            except Exception:  # the C's outermost boundary: the Python does the same
                log.exception("the routine in C has failed; frames are delivered in Python from now on")
                self.counters["native_failed"] += 1
                self._in_c, failed = None, True
        at, heard = deliver_audio(message, at, place, tracks, now, again=failed)
        self.heard += heard
        return at

    def _take_entry(self, message: bytes, at: int, place: int, batch: batches.Batch, now: float) -> int:
        """Take in one entry that is not plainly audio; a fault of ours in it harms no other. Returns where it ends."""
        entry = batches.entry_at(message, at)
        if len(entry.payload) < entry.length:
            raise batches.BusFormatError("cut short")
        self._take_in_order(entry, (message, at, place + at), batch, now)
        return at + batches.ENTRY_BYTES + entry.length

    def _take(self, entry: batches.Entry, frame: Placed, batch: batches.Batch, now: float) -> None:
        try:
            if entry.kind == batches.AUDIO:
                self._audio(entry, frame, batch.epoch, now)
            else:
                self._news(entry, batch, now)
        except Exception:  # a call's outermost boundary
            call = self.live.get(entry.call)
            about = {"call_control_id": call.call_control_id if call else entry.call.hex()}
            log.exception("an entry of kind %d was not dealt with", entry.kind, extra=about)
            self.counters["entries_failed"] += 1

    def forget_silent(self, now: float) -> None:
        """Drop calls whose ingest has not confirmed them for long: it died, and nobody took them over. To be called now and
        then; what was put off is done, too."""
        self._let_in(now)
        self._interest.fade()
        if self._audit is not None:
            self._audit.tick()
            self.counters["audit_folded"] = self._audit.folded
        for call in list(self.live.values()):
            if now - call.confirmed_at > FORGET_AFTER_S:
                log.warning("call forgotten: its ingest has gone", extra={"call_control_id": call.call_control_id})
                self._held.pop(call.digest, None)
                self._let_in(now, call)
                self._remove(call, "gone", now)

    def _still_moving(self, call: Call, now: float) -> bool:
        if call.digest not in self._held:  # or its predecessor's frames might be among those
            self._catch_up(call, call.publisher_handover.overdue(now), now)
        return call.publisher_handover.waiting

    def _catch_up(self, call: Call, held: list[Placed], now: float) -> None:
        """Another process may speak for the call now, and these are its frames that had to wait."""
        self._lanes.file(call)
        self.heard += call.deliver(held, now)

    def _audio(self, entry: batches.Entry, frame: Placed, epoch: int, now: float) -> None:
        """A frame that is to be decoded, or is not from the process that speaks for its stream."""
        call = self.live.get(entry.call)
        if call is None or entry.stream != call.number or entry.track >= len(call.lanes):
            self.counters["frames_of_unknown_streams"] += 1
        elif epoch == call.publisher_handover.epoch:
            self.heard += call.deliver([frame], now)
        elif not call.publisher_handover.hold(epoch, frame):
            self.heard += call.deliver([frame], now, again=True)  # of one that has given way to another

    def _news(self, entry: batches.Entry, batch: batches.Batch, now: float) -> None:
        if entry.kind == batches.START:
            self._started(entry, batch, now)
        elif entry.kind == batches.LIVE:
            self.heard_from.add(batch.ingest)
            self._confirm(entry.payload, (batch.ingest, batch.slot), now)
        elif entry.kind in TALK_NEWS:
            self._on_talk_news(entry.kind, orjson.loads(entry.payload))
        elif entry.kind == batches.HEEDED:
            self._interest.acknowledge(entry.call, batch.ingest)
        elif entry.kind in batches.ENDS:
            self._over(entry, now)
        elif (call := self.live.get(entry.call)) is not None and entry.stream == call.number:
            if entry.kind == batches.LEFT:
                self._catch_up(call, call.publisher_handover.left(batch.epoch), now)
            if entry.kind == batches.FLOOR:
                self._floor(call, entry)
            if entry.kind == batches.ERROR:
                for listener in call.listeners:
                    listener.errs(call, entry.payload)

    def _started(self, entry: batches.Entry, batch: batches.Batch, now: float) -> None:
        try:
            start = telnyx.decode(entry.payload)
        except Malformed:
            return
        if not isinstance(start, telnyx.Start):
            return
        owner = (batch.ingest, batch.slot)
        call = self.live.get(entry.call)
        if call is None:
            call = self._make(entry, start, batch, now)
            for listener in self._who_may_want(call):
                if listener.wants(call):
                    self._offer(listener, call, now)
        elif entry.stream < call.number:
            return  # the older of two streams of this call, announced late
        else:
            call.confirmed_at = now
            if entry.stream != call.number:
                self._let_in(now, call)
            if call.renew(start, entry.stream, owner, batch.epoch):
                self._lanes.file(call)
                self._choose_anew(call, now)
                for listener in call.listeners:
                    listener.begins(call)
            else:
                in_order = bool(entry.flags & batches.IN_ORDER)
                self._catch_up(call, call.publisher_handover.announced(batch.epoch, now, in_order=in_order), now)
                if call.publisher_handover.waiting:
                    self._moving.add(call)

    def _over(self, entry: batches.Entry, now: float) -> None:
        reason: batches.EndReason = "stop" if entry.kind == batches.STOP else "gone"
        self._ended.put(entry.stream, (reason, entry.payload), now)
        if (call := self.live.get(entry.call)) is not None and entry.stream == call.number:
            self._let_in(now, call)
            call.end()
            self._remove(call, reason, now, entry.payload)

    def _make(self, entry: batches.Entry, start: telnyx.Start, batch: batches.Batch, now: float) -> Call:
        call = self.live[entry.call] = Call(
            entry.call,
            start,
            entry.stream,
            (batch.ingest, batch.slot),
            batch.epoch,
            now=now,
            replay_s=self._replay_s,
            replay_buffer=self._replay_buffer,
            clock=self._clock,
            batched_send=self._batched_send,
            counters=self.counters,
            queue=self._decoding,
            on_decoding=self._lanes.file,
        )
        self._lanes.file(call)
        return call

    def _choose_anew(self, call: Call, now: float) -> None:
        """The call has another stream: those who asked for a stream may want it now, or no more."""
        for listener in dict.fromkeys([*call.listeners, *self._who_may_want(call)]):
            if call in listener.calls and not listener.wants(call):
                self._leave(listener, call)
            elif call not in listener.calls and listener.wants(call):
                self._join(listener, call, now)

    def _confirm(self, numbers: bytes, owner: tuple[int, str], now: float) -> None:
        confirmed = {int.from_bytes(numbers[at : at + 8], "little") for at in range(0, len(numbers), 8)}
        for call in list(self.live.values()):
            if call.number in confirmed:
                call.confirmed_at, call.owner = now, owner

    def _floor(self, call: Call, entry: batches.Entry) -> None:
        call.take_floor(orjson.loads(entry.payload))
        if self._audit is not None:
            self._audit.floor(call, call.talker, known=bool(entry.flags & batches.KNOWN))
        for listener in call.listeners:
            listener.floor_changed(call)

    def _remove(self, call: Call, reason: batches.EndReason, now: float, frame: bytes = b"") -> None:
        del self.live[call.digest]
        self._lanes.forget(call)
        self._moving.discard(call)
        call.stop_decoding()
        for listener in call.listeners:
            listener.ends(call, reason, frame)
            self._forget(listener, call)
        call.disband()
        call.talker = None
        if self._audit is not None:
            self._audit.floor(call, None)
        self._go_on_to_the_next(call, now)
