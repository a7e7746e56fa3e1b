"""The fan-out process: browsers that listen and talk."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from actors.fanout.audit import Audit
from actors.fanout.calls.registry import Calls
from actors.fanout.decoder.client import Decoder
from actors.fanout.decoder.queue import DecodingQueue
from actors.fanout.legacy.listener import Listener, topics_of
from actors.fanout.legacy.misroute import MisrouteCheck
from actors.fanout.legacy.talker import Talker
from actors.fanout.limits import Limits
from actors.fanout.native import deliver_in_c, reading_in_c
from actors.fanout.talk_sender import TalkSender
from actors.fanout.v1.connections import V1Connections
from patchbay.auth.session import Session, verifier_of
from patchbay.bus.event_sender import EventSender
from patchbay.handover.drain import drain
from patchbay.http.head import parse_known_head
from patchbay.net.batched_send import make_batched_send
from patchbay.net.poller import Poller
from patchbay.net.rate_limit import RateLimit
from patchbay.process.periodic import SECOND, every
from patchbay.protocol import batches, legacy
from patchbay.protocol.errors import CLOSE_POLICY
from patchbay.protocol.lenient_json import encode_any
from patchbay.protocol.query import BadQuery
from patchbay.protocol.talk import BYTES_PER_S
from patchbay.protocol.v1 import frames
from patchbay.websocket.accept import accept
from patchbay.websocket.handshake import refuse
from patchbay.websocket.keepalive import keep_alive
from patchbay.websocket.send_queue import SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.fanout.calls.subscriber import Person
    from actors.fanout.v1.connection import V1Connection
    from patchbay.bus.sockets import BusSocket
    from patchbay.handover.connection import HandedConnection
    from patchbay.process.context import Context
    from patchbay.websocket.connection import WebSocketConnection

log = logging.getLogger(__name__)

EVENTS_TIMEOUT_S: Final = 0.3  # for the last events to be acknowledged
BATCHES_AT_ONCE: Final = 32
CALLS_TIMEOUT_S: Final = 1.0  # to learn which calls are live, before anybody is served who would hear there is none
ACKNOWLEDGE_TIMEOUT_S: Final = 0.25  # for ingest to learn what a newcomer wants, before it is told that it is connected
LEND_TIMEOUT_S: Final = 0.5  # for ingest to learn that other fan-outs are to hear what our listeners hear
TELNYX_HINT: Final = "this looks like Telnyx: set a stream_auth_token, or add ?role=telnyx to the stream URL"


async def run(context: Context) -> None:
    """Serve browsers until asked to stop."""
    publisher = context.bus.publisher("pub")
    index = context.identity.index
    subscriber = context.bus.subscriber("ingest", "pub")
    events = EventSender(context.bus.dealer("call_events", "in"), limit=context.settings.events.unacknowledged_max)
    fanout = Fanout(context, subscriber, events)
    subscriber.subscribe(batches.batch_topic(index))
    options = context.settings.fanout
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.run)
        nursery.start_soon(fanout.poller.run)
        nursery.start_soon(fanout.decoder.run)
        nursery.start_soon(fanout.receive_batches, subscriber)
        nursery.start_soon(fanout.report, publisher)
        nursery.start_soon(fanout.receive_subscriptions, publisher)
        alive = partial(
            keep_alive,
            interval_s=options.ping_interval_s,
            timeout_s=options.ping_timeout_s,
            message_timeout_s=options.message_timeout_s,
            lifetime_s=options.lifetime_s,
            counters=fanout.poller.counters,
        )
        nursery.start_soon(alive, fanout.peers)
        nursery.start_soon(fanout.v1_connections.run)
        with trio.move_on_after(CALLS_TIMEOUT_S):
            await fanout.calls_known.wait()
        nursery.start_soon(context.gateway.serve, fanout.serve)
        context.ready()
        await context.draining.wait()
        await drain(context.gateway, fanout.lend_interest)
        fanout.audit.flush()
        with trio.move_on_after(EVENTS_TIMEOUT_S):
            await events.flush()
        nursery.cancel_scope.cancel()


class Fanout:
    """Connections of this process."""

    def __init__(self, context: Context, subscriber: BusSocket, events: EventSender) -> None:
        self._context = context
        self._index = context.identity.index
        replay_s = context.settings.fanout.replay_ms / 1000
        self._events = events
        self.audit = audit = Audit(events, self._person)
        queue = DecodingQueue()
        self.calls = Calls(
            self._index,
            replay_s,
            subscriber.subscribe,
            subscriber.unsubscribe,
            self._on_talk_news,
            audit,
            make_batched_send(context.settings),
            deliver_in_c(wanted=context.settings.native),
            queue,
        )
        self.decoder = Decoder(queue, lambda: self.calls.go_on(trio.current_time()), self.calls.counters)
        self._talk_sender = TalkSender(context.bus)
        in_c = reading_in_c(wanted=context.settings.native)
        self.poller = Poller(context.settings.fanout.linger_ms / 1000, self._end_of_round, in_c=in_c)
        self.peers: dict[WebSocketConnection, None] = {}
        self._talkers: dict[int, Talker | V1Connection] = {}
        self._verifier = verifier_of(context.settings.auth)
        self.calls_known = trio.Event()
        self._news: trio.Event | None = None  # somebody waits for the next batch
        self._limits = Limits(context.settings.fanout, self.calls.interest, self.calls.counters)
        self.v1_connections = V1Connections(
            context.settings,
            self.calls,
            self._talk_sender,
            self.poller,
            self._index,
            limits=self._limits,
            verifier=self._verifier,
            present=self._present,
        )

    def _end_of_round(self) -> None:
        self.decoder.flush()  # somebody may have come who is to hear replay buffer
        self._talk_sender.flush()
        self.v1_connections.write_notes()

    async def serve(self, handed: HandedConnection) -> None:
        """Serve one browser's connection until it ends or is parked."""
        options = self._context.settings.fanout
        try:
            head = parse_known_head(handed.head)
            query = legacy.ListenQuery.parse(head.query)
        except BadQuery as error:
            refuse(handed.sock, 400, f"Bad Request: {error}")
            return
        if frames.SUBPROTOCOL in head.subprotocols:
            await self.v1_connections.serve(handed, query, names_track="track" in head.query)
            return
        session = Session(handed, self._verifier, "listen")
        topics, sub = topics_of(query, session.calls), str((handed.claims or {}).get("sub", ""))
        if not handed.resumed and (refusal := self._limits.refusal(topics, sub)) is not None:
            refuse(handed.sock, 429, f"Too Many Requests: {refusal}")
            return
        send_queue = SendQueue(handed.sock, lossy_s=options.queue_ms / 1000)
        with self._limits.held(topics, sub) as has_come:
            async with accept(
                handed,
                self.poller,
                send_queue,
                message_max_bytes=options.message_max_bytes,
                send_buffer_bytes=options.send_buffer_bytes,
                rate_limit=self._limits.rate_limits.of(handed.claims),
            ) as peer:
                has_come()
                if peer is not None:
                    await self._converse(handed, peer, query, session)

    async def _converse(
        self, handed: HandedConnection, peer: WebSocketConnection, query: legacy.ListenQuery, session: Session
    ) -> None:
        listener = Listener(peer, query, session.calls)
        burst_s = self._context.settings.talk.burst_ms / 1000
        pace = RateLimit(BYTES_PER_S, BYTES_PER_S * burst_s)
        talker = Talker(listener, self.calls, self._talk_sender, self._index, session=session, rate_limit=pace)
        opening = MisrouteCheck(peer, talker)
        peer.on_text, peer.on_binary = opening.on_text, talker.on_binary
        with self._present(peer, talker):
            try:
                if handed.resumed and handed.note:
                    talker.resume(listener.resume(handed.note))
                    opening.passed()
                else:
                    await self._until_acknowledged(listener)
                    listener.welcome(self._welcome(listener))
                self.calls.add(listener, trio.current_time())
                self.decoder.flush()
                handed.on_drain = partial(self._hand_over, talker)
                peer.start()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_close_misdirected, opening, peer)
                    await peer.until_closed()
                    nursery.cancel_scope.cancel()
            finally:
                self.calls.remove(listener)
                if not handed.is_transferred:
                    talker.stop()

    async def _until_acknowledged(self, listener: Listener) -> None:
        """Whoever hears `connected` may place a call at once, however short; its first frame must come here."""
        self.calls.expect(listener)
        processes = self._context.settings.ingest.processes
        if not await self._until(lambda: self.calls.is_acknowledged(listener, processes), ACKNOWLEDGE_TIMEOUT_S):
            self.calls.counters["interest_unheeded"] += 1

    async def lend_interest(self) -> None:
        """See that other fan-outs get what is heard here, before its listeners move: there may be fewer from now on."""
        settings = self._context.settings
        others = [index for index in range(settings.fanout.processes) if index != self._index]
        if others:
            is_known = self.calls.lend(others)
            await self._until(lambda: is_known(settings.ingest.processes), LEND_TIMEOUT_S)

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for what batches bring; false when it has taken too long."""
        with trio.move_on_after(timeout_s):
            while not condition():
                if self._news is None:
                    self._news = trio.Event()
                await self._news.wait()
            return True
        return False

    @contextmanager
    def _present(self, peer: WebSocketConnection, talker: Talker | V1Connection) -> Iterator[None]:
        """An open connection, whatever it speaks."""
        self.peers[peer] = None
        self._talkers[peer.handed.id] = talker
        try:
            yield
        finally:
            self.calls.counters["audio_dropped"] += peer.send_queue.dropped
            del self._talkers[peer.handed.id]
            del self.peers[peer]

    async def receive_batches(self, subscriber: BusSocket) -> None:
        """Hear what ingests have. For ever."""
        await subscriber.serve(self._take_batches, BATCHES_AT_ONCE)

    def _take_batches(self, messages: list[bytes]) -> None:
        for message in messages:
            self.calls.receive(message, trio.current_time())
        self.decoder.flush()
        self._talk_sender.flush()  # a call may have moved, and talk for it may wait
        if self._news is not None:
            self._news.set()
            self._news = None
        if len(self.calls.heard_from) == self._context.settings.ingest.processes:
            self.calls_known.set()

    async def receive_subscriptions(self, publisher: BusSocket) -> None:
        """Take what the publisher receives, or it would pile up. For ever."""
        while True:
            await publisher.receive_many()

    async def report(self, publisher: BusSocket) -> None:
        """Publish statistics for the console. For ever."""

        def look() -> None:
            self.calls.forget_silent(trio.current_time())
            self.decoder.tick()
            for talker in list(self._talkers.values()):
                if isinstance(talker, Talker):
                    talker.tick()
            self._talk_sender.flush()  # or what could not be sent would wait for somebody to speak
            counters = {**self.calls.counters, **self.poller.counters}
            counters["connections"] = len(self.peers)
            counters["audio_dropped"] = self.calls.counters["audio_dropped"] + sum(
                peer.send_queue.dropped for peer in self.peers
            )
            counters["frames_repeated"] = sum(call.repeated for call in self.calls.live.values())
            counters["talk_lost"] = self._talk_sender.lost
            counters.update(self.v1_connections.counters())
            counters.update(self._events.totals())
            report = {
                "from": self._context.identity.instance,
                "epoch": self._context.identity.epoch,
                "listeners": self.calls.listener_counts(),
                "unbound_listeners": self.calls.unbound,
                "counters": counters,
                "histograms": self.v1_connections.histograms(),
                "playout": self.v1_connections.playouts(),
            }
            publisher.send_nowait(batches.STATS_TOPIC + encode_any(report))
            self._context.progress.frames_out = self.calls.heard

        look()
        await every(SECOND, look)

    def _welcome(self, listener: Listener) -> bytes:
        calls = self.calls.choice(listener)
        if len(calls) != 1:
            return legacy.connected_message()
        given = calls[0].start.media_format
        return legacy.connected_message(given.encoding, given.sample_rate, given.channels)

    def _person(self, number: int) -> Person | None:
        talker = self._talkers.get(number)
        return None if talker is None else talker.person

    def _hand_over(self, talker: Talker) -> None:
        talker.listener.note_what_was_heard(talker.hand_over())
        self._talk_sender.flush()
        talker.listener.peer.park()

    def _on_talk_news(self, kind: int, news: dict[str, Any]) -> None:
        talker = self._talkers.get(int(news["talker"]))
        if talker is None:
            return
        if kind == batches.REFUSED:
            talker.refused(news["title"], news["detail"])
        elif kind == batches.DROPPED:
            talker.dropped(news["title"], news["dropped_ms"])
        elif kind == batches.MARKED:
            talker.marked(news["name"], news["stream_id"])


async def _close_misdirected(opening: MisrouteCheck, peer: WebSocketConnection) -> None:
    await opening.misdirected.wait()
    log.warning(
        "a peer opens like Telnyx but was taken for a browser: %s", TELNYX_HINT, extra={"peer": peer.handed.peer}
    )
    await peer.close(CLOSE_POLICY, TELNYX_HINT)
