"""The ingest process: Telnyx's media streams in, frames for fan-outs out, talk back."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import trio

from actors.ingest.native import reading_in_c, take_talk_in_c
from actors.ingest.stream import Stream
from actors.ingest.streams import Streams
from patchbay.bus.endpoints import SLOTS, other_slot
from patchbay.bus.event_sender import EventSender
from patchbay.handover.drain import drain
from patchbay.net.poller import Poller
from patchbay.net.rate_limit import RateLimit
from patchbay.process.periodic import every
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

TALK_LATE_S = 1.0  # talk that Telnyx has not taken by then is dropped
CONNECT_S = 0.05  # for the way by which we pass talk on
LAST_TALK_S = 0.05  # for talk that was under way to us while our streams moved to a successor
COUNT_INTERVAL_S = 0.5
SILENT_S = 0.2  # until then more may come, and all be taken at once
FANOUTS_TIMEOUT_S = 1.0


async def run(context: Context) -> None:
    """Serve Telnyx until asked to stop."""
    settings = context.settings
    events = EventSender(context.bus.dealer("call_events", "in"), limit=settings.events.unacknowledged_max)
    publisher = context.bus.publisher("pub")
    talk = context.bus.puller("talk")
    take_talk = take_talk_in_c(wanted=settings.native)
    ingest = Ingest(context, Streams(settings, context.identity, publisher, events, take_talk))
    async with trio.open_nursery() as nursery:
        for task in (events.run, ingest.streams.tick, ingest.streams.report, ingest.streams.endings.run, ingest.count):
            nursery.start_soon(task)
        nursery.start_soon(ingest.poller.run)
        nursery.start_soon(ingest.poller.run_cold)
        nursery.start_soon(ingest.receive_subscriptions, publisher)
        nursery.start_soon(ingest.receive_talk, talk)
        if settings.ingest.announced_within_s > 0:
            nursery.start_soon(
                ingest.streams.hear_announcements, context.bus.subscriber("call_events", "pub", announced.TOPIC)
            )
        options = settings.ingest
        alive = partial(
            keep_alive,
            interval_s=options.ping_interval_s,
            timeout_s=options.ping_timeout_s,
            message_timeout_s=options.message_timeout_s,
            counters=ingest.streams.counters,
        )
        nursery.start_soon(alive, ingest.peers)
        # A stream that nobody seems to want is only skimmed; a predecessor's listeners are about to say that they do.
        with trio.move_on_after(FANOUTS_TIMEOUT_S):
            await ingest.streams.batcher.until_present(settings.fanout.processes)
        nursery.start_soon(context.gateway.serve, ingest.serve)
        context.ready()
        await context.draining.wait()
        ingest.pass_talk_on()
        await trio.sleep(CONNECT_S)
        await drain(context.gateway)
        await trio.sleep(LAST_TALK_S)
        nursery.cancel_scope.cancel()


def passes_on(successor: Send, others: Sequence[Send]) -> Send:
    """Return what sends talk to a successor, or where there is none to all others: one of them has the stream by then, and the
    rest say nothing of it."""

    def send(message: bytes) -> bool:
        if successor(message):
            return True
        copy = b"".join(
            batches.pack_talk(*talk._replace(fanout_index=batches.NOBODY)) for talk in batches.unpack_talk(message)
        )
        taken = [other(copy) for other in others]  # by each that can: nobody here knows which it is
        return any(taken)

    return send


class Ingest:
    """Connections of this process."""

    strict_text = False  # one byte that is not UTF-8 in a name is not worth a call

    def __init__(self, context: Context, streams: Streams) -> None:
        self._context = context
        self.streams = streams
        options = context.settings.ingest
        self.poller = Poller(
            options.linger_ms / 1000,
            streams.batcher.flush,
            cold_read_s=options.cold_read_ms / 1000,
            take_late=True,  # fan-outs know a frame that they have had
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
            if peer is None:
                return
            stream = Stream(self.streams, peer)
            peer.on_text, peer.on_binary, peer.on_again = stream.on_text, stream.on_binary, stream.again
            handed.on_drain = partial(self.hand_over, stream)
            self._streams[handed.id] = stream
            self.peers[peer] = None
            try:
                if handed.resumed and handed.note and stream.resume(handed.note):
                    self.streams.resumed(stream)
                peer.start()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch_supersede, stream)
                    await peer.until_closed()
                    nursery.cancel_scope.cancel()
            finally:
                del self._streams[handed.id], self.peers[peer]
                self._frames_of_ended += sum(stream.frames)
                (self.streams.parked if handed.is_transferred else self.streams.gone)(stream)
                stream.ended()

    async def receive_subscriptions(self, publisher: BusSocket) -> None:
        """Hear what fan-outs want, and let them know at once that we have. For ever."""
        while True:
            for message in await publisher.receive_many():
                self.streams.batcher.subscription(message)
            self.streams.batcher.flush()

    async def receive_talk(self, talk: BusSocket) -> None:
        """Hear what browsers say. For ever."""
        await talk.serve(self.streams.talk)

    def hand_over(self, stream: Stream) -> None:
        """Give a stream to the next process: all that was read is sent first, and nothing more is read."""
        self.poller.remove(stream.peer)
        stream.expire(float("inf"))
        self.streams.talk_switch.hand_over(stream)
        self.streams.leave(stream)
        self.streams.batcher.flush()
        stream.peer.park()

    def pass_talk_on(self) -> None:
        """From now on, talk for streams that are not here any more goes to the process that takes them over: the next of this
        index, or, where there is none, whichever of the others has the stream."""
        identity, bus = self._context.identity, self._context.bus
        successor = bus.pusher("ingest", identity.index, other_slot(identity.slot), "talk")
        indexes = [index for index in range(self._context.settings.ingest.processes) if index != identity.index]
        others = [bus.pusher("ingest", index, slot, "talk") for index in indexes for slot in SLOTS]
        self.streams.talk_switch.pass_on = passes_on(successor.send_nowait, [link.send_nowait for link in others])

    async def count(self) -> None:
        """Keep the count that goes out with heartbeats, and the sockets of silent streams empty. For ever."""
        await every(COUNT_INTERVAL_S, self._count)

    def _count(self) -> None:
        live = sum(sum(stream.frames) for stream in self._streams.values())
        self._context.progress.frames_in = self._frames_of_ended + live
        for stream in self._streams.values():
            self.streams.end_if_silent(stream)
        self.poller.take_handled(SILENT_S)

    async def _watch_supersede(self, stream: Stream) -> None:
        await stream.peer.handed.superseded.wait()
        self.streams.superseded(stream)
