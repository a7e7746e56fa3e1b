"""The process of `call_events`: puts the hub, the webhook, the WebSocket clients and the bus together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson
import trio

from actors.call_events import webhook
from actors.call_events.client import serve_client
from actors.call_events.hub import Hub
from actors.call_events.inside import take_events
from actors.call_events.memory_log import MemoryLog
from actors.runtime.drain import drain
from actors.runtime.http import HttpServer, Limits
from actors.runtime.http_routes import Routes
from actors.runtime.keepalive import keep_alive
from actors.runtime.pump import Pump
from actors.wire.bus import STATS_TOPIC

if TYPE_CHECKING:
    from actors.runtime.bus import BusSocket
    from actors.runtime.context import Context
    from actors.runtime.gateway_link import Handed
    from actors.runtime.peer import Peer

STATS_INTERVAL_S = 0.5
LINGER_S = 0.005  # clients say next to nothing, so there is no hurry to read


class CallEvents:
    """Everything of this process."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._pump = Pump(LINGER_S)
        self._peers: set[Peer] = set()
        self._counters: Counter[str] = Counter()
        self._publisher = context.bus.publisher("pub")
        self._router = context.bus.router("in")
        self._hub = Hub(_log(context), self._publisher.send_nowait)
        self._webhook = webhook.Webhook(self._hub.record)
        routes = Routes()
        routes.add("POST", webhook.PATH, self._webhook)
        limits = Limits(
            body_max_bytes=settings.events.webhook_max_bytes,
            head_max_bytes=settings.gateway.head_max_bytes,
            head_timeout_s=settings.gateway.head_timeout_s,
            keep_alive_s=settings.console.keep_alive_s,
        )
        self._http = HttpServer(routes, actor=context.identity.name, limits=limits)

    async def run(self) -> None:
        """Serve until the process is to stop."""
        context, fanout = self._context, self._context.settings.fanout
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump.run)
            nursery.start_soon(take_events, self._router, self._hub.record, self._counters)
            nursery.start_soon(_ignore_subscriptions, self._publisher)
            nursery.start_soon(self._publish_stats)
            nursery.start_soon(self._keep_alive, fanout.ping_interval_s, fanout.ping_timeout_s)
            nursery.start_soon(context.gateway.serve, self._serve)
            context.ready()
            await context.draining.wait()
            await drain(context.gateway, self._pump)
            nursery.cancel_scope.cancel()

    async def _serve(self, handed: Handed) -> None:
        if handed.kind == "http":
            await self._http.serve(handed)
            return
        events = self._context.settings.events
        limits = {"queue_max": events.client_queue, "replay_max": events.kept}
        await serve_client(handed, self._pump, self._hub, self._peers, **limits)

    async def _keep_alive(self, interval_s: float, timeout_s: float) -> None:
        await keep_alive(self._peers, interval_s=interval_s, timeout_s=timeout_s)

    async def _publish_stats(self) -> None:
        who = self._context.identity
        while True:
            counters = {**self._http.counters, **self._webhook.counters, **self._counters, **self._hub.counters}
            about = {"from": who.instance, "epoch": who.epoch}
            stats = {**about, "counters": counters, "gauges": self._hub.gauges()}
            self._publisher.send_nowait(STATS_TOPIC + orjson.dumps(stats))
            await trio.sleep(STATS_INTERVAL_S)


async def run(context: Context) -> None:
    """Serve until the process is to stop."""
    await CallEvents(context).run()


def _log(context: Context) -> MemoryLog:
    events, epoch = context.settings.events, context.identity.epoch
    return MemoryLog(
        epoch=str(epoch),  # a text: JavaScript has no such numbers
        first_offset=epoch // 1000,  # µs since 1970: later processes begin higher, and JavaScript has these
        max_events=events.kept,
        max_bytes=events.kept_max_bytes,
        max_ids=events.remembered_ids,
    )


async def _ignore_subscriptions(publisher: BusSocket) -> None:
    """Everything is published whoever listens; what subscribers say must only not pile up."""
    while True:
        await publisher.receive_many()
