"""Runs the ingest process: media streams of Telnyx in, audio out to fan-outs, talk back to Telnyx."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import trio

from actors.ingest.native import reading_in_c, take_talk_in_c
from actors.ingest.stream.stream import Stream
from actors.ingest.streams import Streams
from patchbay.bus.event_sender import EventSender
from patchbay.handover.drain import drain
from patchbay.net.poller import Poller
from patchbay.net.rate_limit import RateLimit
from patchbay.process.periodic import every
from patchbay.process.socket_names import SLOTS, other_slot
from patchbay.protocol import announced, batches
from patchbay.websocket.accept import accept
from patchbay.websocket.keepalive import keep_alive
from patchbay.websocket.send_queue import SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from patchbay.bus.sockets import BusSocket
    from patchbay.handover.connection import HandedConnection
    from patchbay.process.context import Context
    from patchbay.websocket.connection import WebSocketConnection

    Send = Callable[[bytes], bool]

log = logging.getLogger(__name__)

TALK_LATE_S = 1.0  # talk that Telnyx has not taken after so long is dropped
CONNECT_S = 0.05  # to connect to the processes to which talk is forwarded
LAST_TALK_S = 0.05  # for talk that was on its way here while the streams moved to a successor
COUNT_INTERVAL_S = 0.5
SILENT_S = 0.2  # so long after the last frame, frames that were handled are taken from the socket
FANOUTS_TIMEOUT_S = 1.0


async def run(context: Context) -> None:
    """Serve Telnyx until asked to stop."""
    settings = context.settings
    events = EventSender(context.bus.dealer("call_events", "in"), limit=settings.events.unacknowledged_max)
    publisher = context.bus.publisher("pub")
    talk = context.bus.puller("talk")
    take_talk = take_talk_in_c(wanted=settings.native)
    streams = Streams(settings, context.identity, publisher, events, take_talk)
    ingest = Ingest(context, streams)
    async with trio.open_nursery() as nursery:
        for task in (events.run, streams.ticker.run, streams.run_seconds, streams.closer.run):
            nursery.start_soon(task)
        for task in (ingest.poller.run, ingest.poller.run_periodic, ingest.keep_alive, ingest.count):
            nursery.start_soon(task)
        nursery.start_soon(ingest.receive_subscriptions, publisher)
        nursery.start_soon(ingest.receive_talk, talk)
        if settings.ingest.announced_within_s > 0:
            announcements = context.bus.subscriber("call_events", "pub", announced.TOPIC)
            nursery.start_soon(streams.receive_announcements, announcements)
        # Streams are served only when the fan-outs have subscribed: audio that no fan-out wants is not queued.
        with trio.move_on_after(FANOUTS_TIMEOUT_S):
            await streams.batcher.wait_for_fanouts(settings.fanout.processes)
        nursery.start_soon(context.gateway.serve, ingest.serve)
        context.ready()
        await context.draining.wait()
        ingest.forward_talk()
        await trio.sleep(CONNECT_S)
        await drain(context.gateway)
        await trio.sleep(LAST_TALK_S)
        nursery.cancel_scope.cancel()


def forwarder(successor: Send, others: Sequence[Send]) -> Send:
    """Return a function that sends talk to a successor; without one, to all other processes: one of them has the stream
    by then, and the others don't answer."""

    def send(message: bytes) -> bool:
        if successor(message):
            return True
        copy = b"".join(
            batches.pack_talk(*talk._replace(fanout_index=batches.NOBODY)) for talk in batches.unpack_talk(message)
        )
        taken = [other(copy) for other in others]  # this process doesn't know which of them has the stream
        return any(taken)

    return send


class Ingest:
    """Serves the connections of this process."""

    strict_text = False  # a byte in a name that is not UTF-8 must not end a call

    def __init__(self, context: Context, streams: Streams) -> None:
        self._context = context
        self.streams = streams
        options = context.settings.ingest
        self.poller = Poller(
            options.linger_ms / 1000,
            streams.batcher.flush,
            periodic_read_s=options.cold_read_ms / 1000,
            take_late=True,  # fan-outs drop frames that they have had
            in_c=reading_in_c(wanted=context.settings.native),
        )
        self.poller.counters = streams.counters
        self.peers: dict[WebSocketConnection, None] = {}
        self._streams: dict[int, Stream] = {}
        self._frames_of_ended = 0

    async def serve(self, handed: HandedConnection) -> None:
        """Serve one connection of Telnyx until it ends, is parked, or is superseded."""
        send_queue = SendQueue(handed.sock, lossy_s=TALK_LATE_S)
        options = self._context.settings.ingest
        limit, rate_limit = options.message_max_bytes, RateLimit(options.messages_per_s, options.messages_burst)
        async with accept(
            handed,
            self.poller,
            send_queue,
            message_max_bytes=limit,
            rate_limit=rate_limit,
            strict_text=self.strict_text,
        ) as peer:
            if peer is not None:
                await self._serve(handed, peer)

    async def _serve(self, handed: HandedConnection, peer: WebSocketConnection) -> None:
        stream = Stream(self.streams, peer)
        peer.on_text, peer.on_binary, peer.on_repeated = stream.on_text, stream.on_binary, stream.audio.mark_repeated
        handed.on_drain = partial(self.hand_over, stream)
        self._streams[handed.id] = stream
        self.peers[peer] = None
        try:
            if handed.resumed and handed.state and stream.resume(handed.state):
                self.streams.on_resume(stream)
            peer.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_supersede, stream)
                await peer.until_closed()
                nursery.cancel_scope.cancel()
        finally:
            del self._streams[handed.id], self.peers[peer]
            self._frames_of_ended += sum(stream.audio.frames)
            (self.streams.on_parked if handed.is_transferred else self.streams.on_lost)(stream)
            stream.release()

    async def keep_alive(self) -> None:
        """Ping silent connections, and end those that don't answer. For ever."""
        options = self._context.settings.ingest
        await keep_alive(
            self.peers,
            interval_s=options.ping_interval_s,
            timeout_s=options.ping_timeout_s,
            message_timeout_s=options.message_timeout_s,
            counters=self.streams.counters,
        )

    async def receive_subscriptions(self, publisher: BusSocket) -> None:
        """Receive the interest of fan-outs, and acknowledge it at once. For ever."""
        while True:
            for message in await publisher.receive_many():
                self.streams.batcher.on_subscription(message)
            self.streams.batcher.flush()

    async def receive_talk(self, talk: BusSocket) -> None:
        """Receive talk from fan-outs. For ever."""
        await talk.serve(self.streams.receive_talk)

    def hand_over(self, stream: Stream) -> None:
        """Give a stream to the next process: nothing more is read, and all audio that was read is sent first."""
        self.poller.remove(stream.peer)
        stream.audio.flush()
        self.streams.talk_receiver.hand_over(stream)
        self.streams.on_leave(stream)
        self.streams.batcher.flush()
        stream.peer.park()

    def forward_talk(self) -> None:
        """Forward talk for streams that have left from now on: to the next process of this index, or to all others."""
        identity, bus = self._context.identity, self._context.bus
        successor = bus.pusher("ingest", identity.index, other_slot(identity.slot), "talk")
        indexes = [index for index in range(self._context.settings.ingest.processes) if index != identity.index]
        others = [bus.pusher("ingest", index, slot, "talk") for index in indexes for slot in SLOTS]
        self.streams.talk_receiver.forward = forwarder(successor.send_nowait, [link.send_nowait for link in others])

    async def count(self) -> None:
        """Count frames for the heartbeats, close idle streams, and empty the sockets of silent streams. For ever."""
        await every(COUNT_INTERVAL_S, self._count)

    def _count(self) -> None:
        live = sum(sum(stream.audio.frames) for stream in self._streams.values())
        self._context.progress.frames_in = self._frames_of_ended + live
        for stream in self._streams.values():
            self.streams.close_if_idle(stream)
        self.poller.take_handled(SILENT_S)

    async def _watch_supersede(self, stream: Stream) -> None:
        await stream.peer.handed.superseded.wait()
        self.streams.on_superseded(stream)
