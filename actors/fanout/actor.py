"""The fan-out process: connects the bus, the gateway, live calls, the decoder, and both browser protocols."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from actors.fanout.audit import Audit
from actors.fanout.batch_signal import BatchSignal
from actors.fanout.calls.registry import Calls
from actors.fanout.decoder.client import Decoder
from actors.fanout.decoder.queue import DecodingQueue
from actors.fanout.legacy.connections import LegacyConnections
from actors.fanout.limits import Limits
from actors.fanout.native import deliver_in_c, reading_in_c
from actors.fanout.open_connections import OpenConnections
from actors.fanout.talk_sender import TalkSender
from actors.fanout.v1.connections import V1Connections
from patchbay.auth.session import verifier_of
from patchbay.bus.event_sender import EventSender
from patchbay.bus.sockets import discard_received
from patchbay.handover.drain import drain
from patchbay.http.head import parse_known_head
from patchbay.net.batched_send import make_batched_send
from patchbay.net.poller import Poller
from patchbay.process.periodic import SECOND, every
from patchbay.protocol import batches, legacy
from patchbay.protocol.lenient_json import encode_any
from patchbay.protocol.query import BadQuery
from patchbay.protocol.v1 import frames
from patchbay.websocket.handshake import refuse
from patchbay.websocket.keepalive import keep_alive

if TYPE_CHECKING:
    from patchbay.bus.sockets import BusSocket
    from patchbay.handover.connection import HandedConnection
    from patchbay.process.context import Context

EVENTS_TIMEOUT_S: Final = 0.3  # for the last events to be acknowledged
BATCHES_AT_ONCE: Final = 32
CALLS_TIMEOUT_S: Final = 1.0  # to learn which calls are live, before a client is told that there is none
SHARE_TIMEOUT_S: Final = 0.5  # for ingest to learn that other fan-out processes need this process's topics


async def run(context: Context) -> None:
    """Serve browsers until asked to stop."""
    publisher = context.bus.publisher("pub")
    subscriber = context.bus.subscriber("ingest", "pub", bridge_too=True)
    events = EventSender(context.bus.dealer("call_events", "in"), limit=context.settings.events.unacknowledged_max)
    fanout = Fanout(context, subscriber, events)
    subscriber.subscribe(batches.batch_topic(context.identity.index))
    options = context.settings.fanout
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.run)
        nursery.start_soon(fanout.poller.run)
        nursery.start_soon(fanout.decoder.run)
        nursery.start_soon(fanout.receive_batches, subscriber)
        nursery.start_soon(fanout.report, publisher)
        nursery.start_soon(discard_received, publisher)
        alive = partial(
            keep_alive,
            interval_s=options.ping_interval_s,
            timeout_s=options.ping_timeout_s,
            message_timeout_s=options.message_timeout_s,
            lifetime_s=options.lifetime_s,
            counters=fanout.poller.counters,
        )
        nursery.start_soon(alive, fanout.connections.peers)
        nursery.start_soon(fanout.v1_connections.run)
        with trio.move_on_after(CALLS_TIMEOUT_S):
            await fanout.calls_known.wait()
        nursery.start_soon(context.gateway.serve, fanout.serve)
        context.ready()
        await context.draining.wait()
        await drain(context.gateway, fanout.share_interest)
        fanout.audit.flush()
        with trio.move_on_after(EVENTS_TIMEOUT_S):
            await events.flush()
        nursery.cancel_scope.cancel()


class Fanout:
    """The parts of one process.

    Attributes:
        calls_known: set when every ingest process has said which calls it has.
    """

    def __init__(self, context: Context, subscriber: BusSocket, events: EventSender) -> None:
        settings = context.settings
        self._context = context
        self._index = context.identity.index
        self._events = events
        self.connections = OpenConnections()
        self.audit = Audit(events, self.connections.participant)
        queue = DecodingQueue()
        self.calls = Calls(
            self._index,
            settings.fanout.replay_ms / 1000,
            subscriber.subscribe,
            subscriber.unsubscribe,
            self.connections.on_talk_event,
            self.audit,
            make_batched_send(settings),
            deliver_in_c(wanted=settings.native),
            queue,
            is_clustered=settings.cluster.is_on,
        )
        self.decoder = Decoder(queue, lambda: self.calls.resume(trio.current_time()), self.calls.counters)
        self._talk_sender = TalkSender(context.bus)
        in_c = reading_in_c(wanted=settings.native)
        self.poller = Poller(settings.fanout.linger_ms / 1000, self._on_round_end, in_c=in_c)
        self.calls_known = trio.Event()
        self._batch_signal = BatchSignal()
        shared = settings, self.calls, self._talk_sender, self.poller, self._index
        limits = Limits(settings.fanout, self.calls.interest, self.calls.counters)
        verifier = verifier_of(settings.auth)
        self.v1_connections = V1Connections(
            *shared, limits=limits, verifier=verifier, registered=self.connections.registered
        )
        self._legacy_connections = LegacyConnections(
            *shared,
            limits=limits,
            verifier=verifier,
            registered=self.connections.registered,
            on_added=self.decoder.flush,
            batch_signal=self._batch_signal,
        )

    def _on_round_end(self) -> None:
        self.decoder.flush()  # a new listener may need frames of the replay buffer
        self._talk_sender.flush()
        self.v1_connections.save_states()

    async def serve(self, handed: HandedConnection) -> None:
        """Serve one browser's connection, in the protocol that it asks for, until it ends or is parked."""
        try:
            head = parse_known_head(handed.head)
            query = legacy.ListenQuery.parse(head.query)
        except BadQuery as error:
            refuse(handed.sock, 400, f"Bad Request: {error}")
            return
        if frames.SUBPROTOCOL in head.subprotocols:
            await self.v1_connections.serve(handed, query, names_track="track" in head.query)
        else:
            await self._legacy_connections.serve(handed, query)

    async def share_interest(self) -> None:
        """Have ingest send this process's topics to the other fan-out processes, before the connections move there.

        This process may not be replaced: there may be fewer processes from now on.
        """
        settings = self._context.settings
        others = [index for index in range(settings.fanout.processes) if index != self._index]
        if others:
            is_known = self.calls.share_interest(others)
            await self._batch_signal.wait_until(lambda: is_known(settings.ingest.processes), SHARE_TIMEOUT_S)

    async def receive_batches(self, subscriber: BusSocket) -> None:
        """Receive batches from ingest processes. For ever."""
        await subscriber.serve(self._on_batches, BATCHES_AT_ONCE)

    def _on_batches(self, messages: list[bytes]) -> None:
        for message in messages:
            self.calls.receive(message, trio.current_time())
        self.decoder.flush()
        self._talk_sender.flush()  # a call may have moved, and talk to it may wait
        self._batch_signal.notify()
        if len(self.calls.known_ingests) == self._context.settings.ingest.processes:
            self.calls_known.set()

    async def report(self, publisher: BusSocket) -> None:
        """Do what is due every second, and publish statistics for the console. For ever."""

        def tick() -> None:
            self.calls.remove_unconfirmed(trio.current_time())
            self.decoder.tick()
            self._legacy_connections.tick()
            self._talk_sender.flush()  # talk that could not be sent may wait, though nobody talks now
            publisher.send_nowait(batches.STATS_TOPIC + encode_any(self._statistics()))
            self._context.progress.frames_out = self.calls.delivered

        tick()
        await every(SECOND, tick)

    def _statistics(self) -> dict[str, Any]:
        counters = {**self.calls.counters, **self.poller.counters}
        counters["connections"] = len(self.connections.peers)
        counters["audio_dropped"] = self.connections.audio_dropped
        counters["frames_repeated"] = sum(call.repeated for call in self.calls.live.values())
        counters["talk_lost"] = self._talk_sender.lost
        counters.update(self.v1_connections.counters())
        counters.update(self._events.totals())
        return {
            "from": self._context.identity.instance,
            "epoch": self._context.identity.epoch,
            "listeners": self.calls.listener_counts(),
            "unbound_listeners": self.calls.unbound,
            "counters": counters,
            "histograms": self.v1_connections.histograms(),
            "playout": self.v1_connections.playouts(),
        }
