"""Runs the process of `call_events`: makes its parts, connects them, and runs their tasks."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import trio

from actors.call_events import api
from actors.call_events.calls.lost_calls import LostCalls
from actors.call_events.clients.client import Clients
from actors.call_events.dispatcher import Dispatcher
from actors.call_events.internal_events import take_events
from actors.call_events.journal.writer import JournalWriter
from actors.call_events.restarts import follow_restarts
from actors.call_events.webhooks import webhook
from actors.call_events.webhooks.announcer import Announcer
from actors.call_events.webhooks.backfill import Backfill
from patchbay.auth.session import verifier_of
from patchbay.bus.sockets import discard_received
from patchbay.handover.drain import drain
from patchbay.http.routes import Routes
from patchbay.http.server import HttpServer, Limits
from patchbay.net.poller import Poller
from patchbay.process.periodic import next_tick
from patchbay.protocol.batches import STATS_TOPIC
from patchbay.websocket.keepalive import keep_alive

if TYPE_CHECKING:
    from config.settings import TelnyxSettings
    from patchbay.handover.connection import HandedConnection
    from patchbay.process.context import Context

LINGER_S = 0.005  # clients send very little, so reading is not urgent
OPEN_PATIENCE_S = 5.0  # after which the process serves even if the journal can't be opened


class CallEvents:
    """Holds the parts of the process, and runs them."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._counters: Counter[str] = Counter()
        self._poller = Poller(LINGER_S)
        self._publisher = context.bus.publisher("pub")
        self._dispatcher = Dispatcher(settings.events)
        self._journal = JournalWriter(
            Path(settings.data_dir), settings.events, self._dispatcher.opened, self._dispatcher.committed
        )
        self._clients = Clients(
            self._dispatcher, self._journal, self._poller, settings.events, verifier_of(settings.auth)
        )
        self._webhook = webhook.Webhook(self._journal.record, webhook.verifier_of(settings))
        within_s = settings.ingest.announced_within_s
        self._announcer = Announcer(
            self._dispatcher.calls, within_s, self._publisher.send_nowait, self._journal.session.ready
        )
        if within_s > 0:
            self._dispatcher.on_states = self._announcer.announce
        self._lost = LostCalls(self._dispatcher.calls, self._journal.record, settings.events.lost_after_s)
        self._backfill = _backfill(settings.telnyx, self._journal)
        self._http = HttpServer(self._routes(), actor=context.identity.name, limits=_limits(context))

    async def run(self) -> None:
        """Serve until the process must stop, then move the connections to the successor."""
        context, fanout = self._context, self._context.settings.fanout
        record, bus = self._journal.record, context.bus
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._journal.run)
            with trio.move_on_after(OPEN_PATIENCE_S):
                await self._journal.session.ready.wait()
            nursery.start_soon(self._poller.run)
            nursery.start_soon(self._dispatcher.deliver)
            nursery.start_soon(self._dispatcher.watch_progress)
            nursery.start_soon(take_events, bus.router("in"), record, self._counters)
            nursery.start_soon(self._lost.listen, bus.subscriber("ingest", "pub", STATS_TOPIC))
            nursery.start_soon(self._lost.watch)
            nursery.start_soon(follow_restarts, context.settings.run_dir, record)
            if self._backfill is not None:
                nursery.start_soon(self._backfill.run)
            if context.settings.ingest.announced_within_s > 0:
                nursery.start_soon(self._announcer.answer_subscribers, self._publisher)
                nursery.start_soon(self._announcer.repeat)
            else:
                nursery.start_soon(discard_received, self._publisher)
            nursery.start_soon(self._publish_stats)
            nursery.start_soon(
                partial(
                    keep_alive,
                    self._clients.peers,
                    interval_s=fanout.ping_interval_s,
                    timeout_s=fanout.ping_timeout_s,
                    message_timeout_s=fanout.message_timeout_s,
                    lifetime_s=fanout.lifetime_s,
                    counters=self._poller.counters,
                )
            )
            nursery.start_soon(context.gateway.serve, self._serve)
            context.ready()
            await context.draining.wait()
            await drain(context.gateway)
            nursery.cancel_scope.cancel()

    def _routes(self) -> Routes:
        routes = Routes()
        routes.add("POST", webhook.PATH, self._webhook)
        routes.add("GET", api.PATH, api.EventsApi(self._dispatcher, self._journal))
        return routes

    async def _serve(self, handed: HandedConnection) -> None:
        await (self._http if handed.kind == "http" else self._clients).serve(handed)

    async def _publish_stats(self) -> None:
        who = self._context.identity
        sources = [each.counters for each in (self._http, self._webhook, self._dispatcher)]
        if self._backfill is not None:
            sources.append(self._backfill.counters)
        while True:
            counters: dict[str, int] = dict(self._counters)
            for source in (*sources, self._journal.totals(), self._poller.counters):
                counters |= source
            gauges = {**self._dispatcher.gauges(), "journal_available": int(self._journal.is_available)}
            stats = {"from": who.instance, "epoch": who.epoch, "counters": counters, "gauges": gauges}
            self._publisher.send_nowait(STATS_TOPIC + orjson.dumps(stats))
            await next_tick()


async def run(context: Context) -> None:
    """Run the actor until the process must stop."""
    await CallEvents(context).run()


def _backfill(telnyx: TelnyxSettings, journal: JournalWriter) -> Backfill | None:
    return None if telnyx.api_key is None else Backfill(telnyx.api_url, telnyx.api_key, journal)


def _limits(context: Context) -> Limits:
    settings = context.settings
    return Limits(
        body_max_bytes=settings.events.webhook_max_bytes,
        bodies_max_bytes=settings.events.bodies_max_bytes,
        head_max_bytes=settings.gateway.head_max_bytes,
        head_timeout_s=settings.gateway.head_timeout_s,
        keep_alive_s=settings.console.keep_alive_s,
        is_tls=settings.tls.is_on,
    )
