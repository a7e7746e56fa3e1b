"""The registry of all live calls of the system, as one fan-out process knows them.

Fed with batches from the bus; delivers audio, tells subscribers of events, and removes calls that no ingest process
confirms any more. No I/O of its own: frames go to listeners' send queues.
"""

from __future__ import annotations

import logging
import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from actors.fanout.calls.audio_context import AudioContext
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
    from actors.fanout.calls.publisher_handover import BatchFrame
    from actors.fanout.calls.track import Deliver

log = logging.getLogger(__name__)

FORGET_AFTER_S: Final = 15.0  # longer than a connection waits for its ingest's next process
ENDED_KEPT_S: Final = 20.0  # longer than a connection waits for this process's successor, which must tell its client
ENDED_KEPT_MAX: Final = 2000
# Times `replay_s`: a connection that was handed over gets all that it missed, and a hand-over may take longer.
REPLAY_KEPT_TIMES: Final = 2


class Calls(InOrder):
    """The registry.

    Args:
        replay_s: seconds of audio that a listener gets when it joins.
        subscribe, unsubscribe: change this process's topics on the bus.
        on_talk_event: called with (kind, fields) of an ingest's message about a connection's talk.
        audit: told which connections listen and talk.
        batched_send: writes frames to listeners; empty when `receive` returns.
        in_c: delivers plain audio faster, where the routine in C was built.
        decoding: decodes frames.
        is_clustered: see `Audience`.
    """

    def __init__(
        self,
        fanout_index: int,
        replay_s: float,
        subscribe: Callable[[bytes], None],
        unsubscribe: Callable[[bytes], None],
        on_talk_event: Callable[[int, dict[str, Any]], None],
        audit: Audit | None = None,
        batched_send: BatchedSend | None = None,
        in_c: Deliver | None = None,
        decoding: DecodingQueue | None = None,
        *,
        is_clustered: bool = False,
    ) -> None:
        self._ended: TtlCache[tuple[batches.EndReason, bytes]] = TtlCache(ENDED_KEPT_S, ENDED_KEPT_MAX)  # by stream
        interest = Interest(fanout_index, subscribe, unsubscribe)
        sending, decoding = batched_send or BatchedSend(None), decoding or DecodingQueue()
        super().__init__(interest, self._ended, audit, decoding, sending, is_clustered=is_clustered)
        self._on_talk_event = on_talk_event
        self._in_c = in_c
        self.known_ingests: set[int] = set()  # ingest processes that have said which calls they have
        self._gaps = GapCounter()
        self._moving: set[Call] = set()  # from one ingest process to the next
        self._replay_buffer = ReplayBuffer(REPLAY_KEPT_TIMES * replay_s)
        self._tracks = TrackIndex()
        self._audio = AudioContext(
            replay_s, self._replay_buffer, self._clock, self._batched_send, self.counters, self._decoding
        )

    # ---- from the bus

    def receive(self, message: bytes, now: float) -> None:
        """Take in one batch."""
        try:
            batch, at = batches.unpack_batch(message)
            if not self._gaps.accept(batch, self.counters):
                return
            self._clock.time_us = batch.time_us
            location = self._replay_buffer.keep(message, now)
            while at < len(message):
                at = self._deliver(message, at, location, batch.epoch, now)
                if at < len(message):
                    at = self._take_entry(message, at, location, batch, now)
        except (batches.BusFormatError, struct.error) as error:
            self.counters["bad_batches"] += 1
            log.error("unreadable batch: %s", error)
        for call in [call for call in self._moving if not self._still_moving(call, now)]:
            self._moving.discard(call)
        self.resume(now)

    def _deliver(self, message: bytes, at: int, location: int, epoch: int, now: float) -> int:
        """Deliver the audio from `at` on. Returns the offset of the first entry that was not delivered."""
        tracks = self._tracks.of(epoch)
        failed = False
        if self._in_c is not None:
            try:
                at, delivered = self._in_c(message, at, location, tracks, now)
                self.delivered += delivered
            except Exception:  # the outermost boundary of C: Python does the same
                log.exception("the routine in C has failed; frames are delivered in Python from now on")
                self.counters["native_failed"] += 1
                self._in_c, failed = None, True
        at, delivered = deliver_audio(message, at, location, tracks, now, is_repeated=failed)
        self.delivered += delivered
        return at

    def _take_entry(self, message: bytes, at: int, location: int, batch: batches.Batch, now: float) -> int:
        """Handle one entry that `_deliver` has left, or hold it until its turn. Returns the offset behind it."""
        entry = batches.entry_at(message, at)
        if len(entry.payload) < entry.length:
            raise batches.BusFormatError("cut short")
        self._handle_in_order(entry, (message, at, location + at), batch, now)
        return at + batches.ENTRY_BYTES + entry.length

    def _handle(self, entry: batches.Entry, frame: BatchFrame, batch: batches.Batch, now: float) -> None:
        try:
            if entry.kind == batches.AUDIO:
                self._on_audio(entry, frame, batch.epoch, now)
            else:
                self._on_event(entry, batch, now)
        except Exception:  # a call's outermost boundary
            call = self.live.get(entry.call)
            about = {"call_control_id": call.call_control_id if call else entry.call.hex()}
            log.exception("an entry of kind %d was not dealt with", entry.kind, extra=about)
            self.counters["entries_failed"] += 1

    def remove_unconfirmed(self, now: float) -> None:
        """Remove calls that no ingest has confirmed for `FORGET_AFTER_S`: their ingest died, and no other took them
        over.

        To be called every second; also runs what is due by the clock: subscribers that wait, topics, the audit.
        """
        self._join_waiting(now)
        self._interest.unsubscribe_unused()
        if self._audit is not None:
            self._audit.tick()
            self.counters["audit_folded"] = self._audit.folded
        for call in list(self.live.values()):
            if now - call.confirmed_at > FORGET_AFTER_S:
                log.warning("call forgotten: its ingest has gone", extra={"call_control_id": call.call_control_id})
                self._held.pop(call.digest, None)
                self._join_waiting(now, call)
                self._remove(call, "gone", now)

    def _still_moving(self, call: Call, now: float) -> bool:
        if call.digest not in self._held:  # held entries may be frames of the process before
            self._catch_up(call, call.publisher_handover.on_time(now), now)
        return call.publisher_handover.is_waiting

    def _catch_up(self, call: Call, held: list[BatchFrame], now: float) -> None:
        """Deliver frames that were held: another process may be followed now."""
        self._add_tracks(call)
        self.delivered += call.deliver(held, now)

    def _add_tracks(self, call: Call) -> None:
        """Have plain audio of the process that is followed delivered; each frame that is decoded is handled by
        itself."""
        if call.decoding is None:
            self._tracks.add(call.digest, call.publisher_handover.epoch, call.number, call.tracks)
        else:
            self._tracks.remove(call.digest)

    def _on_audio(self, entry: batches.Entry, frame: BatchFrame, epoch: int, now: float) -> None:
        """Handle a frame that is to be decoded, or is not from the process that is followed."""
        call = self.live.get(entry.call)
        if call is None or entry.stream != call.number or entry.track >= len(call.tracks):
            self.counters["frames_of_unknown_streams"] += 1
        elif epoch == call.publisher_handover.epoch:
            self.delivered += call.deliver([frame], now)
        elif not call.publisher_handover.hold(epoch, frame):
            self.delivered += call.deliver([frame], now, is_repeated=True)  # of a process that was followed before

    def _on_event(self, entry: batches.Entry, batch: batches.Batch, now: float) -> None:
        if entry.kind == batches.START:
            self._on_start(entry, batch, now)
        elif entry.kind == batches.LIVE:
            if batch.ingest != batches.BRIDGE:
                self.known_ingests.add(batch.ingest)
            self._confirm(entry.payload, (batch.ingest, batch.slot), now)
        elif entry.kind in batches.TO_TALKER:
            self._on_talk_event(entry.kind, orjson.loads(entry.payload))
        elif entry.kind == batches.ACKNOWLEDGED and batch.ingest != batches.BRIDGE:
            self._interest.acknowledge(entry.call, batch.ingest)
        elif entry.kind in batches.ENDS:
            self._on_end(entry, now)
        elif (call := self.live.get(entry.call)) is not None and entry.stream == call.number:
            if entry.kind == batches.LEFT:
                self._catch_up(call, call.publisher_handover.on_left(batch.epoch), now)
            if entry.kind == batches.FLOOR:
                self._on_floor(call, entry)
            if entry.kind == batches.ERROR:
                for listener in call.listeners:
                    listener.on_error(call, entry.payload)

    def _on_start(self, entry: batches.Entry, batch: batches.Batch, now: float) -> None:
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
            for listener in self._possible_subscribers(call):
                if listener.wants(call):
                    self._offer(listener, call, now)
        elif entry.stream < call.number:
            return  # the older of two streams of this call
        else:
            call.confirmed_at = now
            if entry.stream != call.number:
                self._join_waiting(now, call)
            if call.update(start, entry.stream, owner, batch.epoch):
                self._add_tracks(call)
                self._choose_again(call, now)
                for listener in call.listeners:
                    listener.on_started(call)
            else:
                in_order = bool(entry.flags & batches.IN_ORDER)
                self._catch_up(call, call.publisher_handover.on_announced(batch.epoch, now, in_order=in_order), now)
                if call.publisher_handover.is_waiting:
                    self._moving.add(call)

    def _on_end(self, entry: batches.Entry, now: float) -> None:
        reason: batches.EndReason = "stop" if entry.kind == batches.STOP else "gone"
        self._ended.put(entry.stream, (reason, entry.payload), now)
        if (call := self.live.get(entry.call)) is not None and entry.stream == call.number:
            self._join_waiting(now, call)
            call.flush()
            self._remove(call, reason, now, entry.payload)

    def _make(self, entry: batches.Entry, start: telnyx.Start, batch: batches.Batch, now: float) -> Call:
        call = self.live[entry.call] = Call(
            entry.call,
            start,
            entry.stream,
            (batch.ingest, batch.slot),
            batch.epoch,
            now=now,
            context=self._audio,
            on_decoding=partial(self._tracks.remove, entry.call),
        )
        self._add_tracks(call)
        return call

    def _choose_again(self, call: Call, now: float) -> None:
        """Let subscribers join and leave a call that has another stream: some want certain streams."""
        for listener in dict.fromkeys([*call.listeners, *self._possible_subscribers(call)]):
            if call in listener.calls and not listener.wants(call):
                self._leave(listener, call)
            elif call not in listener.calls and listener.wants(call):
                self._join(listener, call, now)

    def _confirm(self, numbers: bytes, owner: tuple[int, str], now: float) -> None:
        confirmed = {int.from_bytes(numbers[at : at + 8], "little") for at in range(0, len(numbers), 8)}
        for call in list(self.live.values()):
            if call.number in confirmed:
                call.confirmed_at, call.owner = now, owner

    def _on_floor(self, call: Call, entry: batches.Entry) -> None:
        call.set_floor(orjson.loads(entry.payload))
        if self._audit is not None:
            self._audit.on_floor_changed(call, call.talker, known=bool(entry.flags & batches.SNAPSHOT))
        for listener in call.listeners:
            listener.on_floor_changed(call)

    def _remove(self, call: Call, reason: batches.EndReason, now: float, frame: bytes = b"") -> None:
        del self.live[call.digest]
        self._tracks.remove(call.digest)
        self._moving.discard(call)
        call.stop_decoding()
        for listener in call.listeners:
            listener.on_stopped(call, reason, frame)
            self._on_left(listener, call)
        call.clear()
        call.talker = None
        if self._audit is not None:
            self._audit.on_floor_changed(call, None)
        self._join_next(call, now)
