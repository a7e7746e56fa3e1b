"""All live calls of the system as this fan-out process knows them, and who listens to which.

Fed with batches from the bus. Keeps the bus's interest in step with its listeners, tells listeners what happens to
their calls, and forgets calls that nobody confirms any more. No I/O of its own: writes go to listeners' outboxes.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

import orjson

from actors.fanout.call import Call
from actors.wire import bus as wire
from actors.wire import telnyx
from actors.wire.lenient import Malformed
from actors.wire.websocket import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.fanout.listener import Listener

log = logging.getLogger(__name__)

FORGET_AFTER_S: Final = 15.0  # longer than a connection waits for its ingest's next process
BATCH_JUMP_MAX: Final = 1_000_000


class Calls:
    """The registry.

    Args:
        subscribe, unsubscribe: change this process's interest on the bus.
        on_talk_news: called with (talker, what the ingest says of its talk).
    """

    def __init__(
        self,
        fanout_index: int,
        replay_s: float,
        subscribe: Callable[[bytes], None],
        unsubscribe: Callable[[bytes], None],
        on_talk_news: Callable[[int, dict[str, str]], None],
    ) -> None:
        self._index = fanout_index
        self._replay_s = replay_s
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._on_talk_news = on_talk_news
        self.live: dict[bytes, Call] = {}
        self.heard_from: set[int] = set()  # ingest processes that have said which calls they have
        self._listeners: dict[Listener, None] = {}
        self._interest: Counter[bytes] = Counter()
        self._sequences: dict[int, int] = {}
        self.counters: Counter[str] = Counter()

    # ---- from the bus

    def receive(self, message: bytes, now: float) -> None:
        """Take in one batch."""
        try:
            batch, at = wire.unpack_batch(message)
            self._count_gap(batch)
            owner = (batch.ingest, batch.slot)
            live = self.live
            for entry in wire.unpack_entries(message, at):
                if entry.kind == wire.AUDIO:
                    call = live.get(entry.call)
                    if call is not None and entry.stream == call.number:
                        call.audio(entry, now)
                    else:
                        self.counters["frames_of_unknown_streams"] += 1
                else:
                    self._news(entry, owner, now)
        except wire.BusFormatError as error:
            self.counters["bad_batches"] += 1
            log.error("unreadable batch: %s", error)

    def forget_silent(self, now: float) -> None:
        """Drop calls whose ingest has not confirmed them for long: it died, and nobody took them over."""
        for call in list(self.live.values()):
            if now - call.confirmed_at > FORGET_AFTER_S:
                log.warning("call forgotten: its ingest has gone", extra={"call_control_id": call.call_control_id})
                self._remove(call)

    def _news(self, entry: wire.Entry, owner: tuple[int, str], now: float) -> None:
        if entry.kind == wire.START:
            self._started(entry, owner, now)
        elif entry.kind == wire.LIVE:
            self.heard_from.add(owner[0])
            self._confirm(entry.payload, owner, now)
        elif entry.kind == wire.REFUSED:
            news = orjson.loads(entry.payload)
            self._on_talk_news(int(news["talker"]), news)
        elif (call := self.live.get(entry.call)) is not None and entry.stream == call.number:
            if entry.kind == wire.FLOOR:
                call.talker = orjson.loads(entry.payload)["talker"]
            elif entry.kind in (wire.STOP, wire.ERROR):
                self._tell(call.listeners, entry.payload)
            if entry.kind in (wire.STOP, wire.GONE):
                self._remove(call)

    def _started(self, entry: wire.Entry, owner: tuple[int, str], now: float) -> None:
        try:
            start = telnyx.decode(entry.payload)
        except Malformed:
            return
        if not isinstance(start, telnyx.Start):
            return
        call = self.live.get(entry.call)
        if call is None:
            call = self.live[entry.call] = Call(entry.call, start, entry.stream, owner, now, self._replay_s)
            for listener in self._listeners:
                if listener.wants(call):
                    self._join(listener, call, now)
        elif entry.stream < call.number:
            return  # the older of two streams of this call, announced late
        else:
            call.confirmed_at = now
            if call.renew(start, entry.stream, owner):
                self._announce(call.listeners, call)

    def _confirm(self, numbers: bytes, owner: tuple[int, str], now: float) -> None:
        confirmed = {int.from_bytes(numbers[at : at + 8], "little") for at in range(0, len(numbers), 8)}
        for call in list(self.live.values()):
            if call.number in confirmed:
                call.confirmed_at, call.owner = now, owner

    def _count_gap(self, batch: wire.Batch) -> None:
        last = self._sequences.get(batch.epoch)
        if last is not None and 1 < batch.sequence - last < BATCH_JUMP_MAX:
            self.counters["batches_lost"] += batch.sequence - last - 1
        if last is None and len(self._sequences) > 1000:
            self._sequences.clear()
        self._sequences[batch.epoch] = batch.sequence

    # ---- listeners

    def add(self, listener: Listener, now: float) -> None:
        """A listener has come: it hears its calls that are live at once, and others from their first frame on."""
        self._listeners[listener] = None
        for topic in listener.topics():
            self._want(topic)
        for call in self.live.values():
            if listener.wants(call):
                self._join(listener, call, now)

    def remove(self, listener: Listener) -> None:
        """A listener has gone."""
        if listener not in self._listeners:
            return
        del self._listeners[listener]
        for call in listener.calls:
            call.leave(listener)
        listener.calls.clear()
        for topic in listener.topics():
            self._want_no_more(topic)

    def of_id(self, call_control_id: str) -> Call | None:
        """A live call by its id."""
        return self.live.get(wire.digest(call_control_id))

    def listener_counts(self) -> dict[str, int]:
        """How many listen to each live call."""
        return {call.call_control_id: len(call.listeners) for call in self.live.values()}

    @property
    def unbound(self) -> int:
        """How many listeners hear every call."""
        return sum(not listener.names_calls for listener in self._listeners)

    def _join(self, listener: Listener, call: Call, now: float) -> None:
        listener.calls.add(call)
        self._announce([listener], call)
        call.join(listener, now)

    def _announce(self, listeners: Iterable[Listener], call: Call) -> None:
        """The start frame, verbatim, to those who have not had it."""
        frame = text_frame(call.start.raw)
        for listener in listeners:
            if listener.first_time(call.number):
                listener.write_control(frame)

    def _tell(self, listeners: Iterable[Listener], message: bytes) -> None:
        frame = text_frame(message)
        for listener in listeners:
            listener.write_control(frame)

    def _remove(self, call: Call) -> None:
        del self.live[call.digest]
        for listener in call.listeners:
            listener.calls.discard(call)

    def _want(self, call: bytes) -> None:
        self._interest[call] += 1
        if self._interest[call] == 1:
            self._subscribe(wire.interest_topic(self._index, call))

    def _want_no_more(self, call: bytes) -> None:
        self._interest[call] -= 1
        if not self._interest[call]:
            del self._interest[call]
            self._unsubscribe(wire.interest_topic(self._index, call))
