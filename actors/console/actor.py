"""Runs the console's process: receives the statistics of the other actors, and answers HTTP."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import orjson
import trio

from actors.console.api import Api
from actors.console.stats import StatsBook
from actors.console.supervisor_client import SupervisorControl
from patchbay.handover.drain import drain
from patchbay.http.server import HttpServer, Limits
from patchbay.http.static import StaticFiles
from patchbay.protocol.batches import STATS_TOPIC

if TYPE_CHECKING:
    from patchbay.process.context import Context

PUBLISHERS = ("gateway", "ingest", "fanout", "call_events")


class BusSubscriber(Protocol):
    """Receives from the bus: `bus.subscriber(actor, "pub", b"s")`."""

    async def receive_many(self, limit: int = 64) -> list[bytes]: ...


def web_directory() -> Path:
    """Return the folder of the web files: within the package where Patchbay was installed, else the checkout's."""
    root = Path(__file__).resolve().parents[2]
    installed = root / "patchbay" / "web"
    return installed if installed.is_dir() else root / "web"


async def run(context: Context) -> None:
    """Serve until the process is to stop."""
    settings = context.settings
    book = StatsBook()
    limits = Limits(
        body_max_bytes=settings.console.body_max_bytes,
        head_max_bytes=settings.gateway.head_max_bytes,
        head_timeout_s=settings.gateway.head_timeout_s,
        keep_alive_s=settings.console.keep_alive_s,
        is_tls=settings.tls.is_on,
    )
    counters: Counter[str] = Counter()
    api = Api(
        book,
        SupervisorControl(settings.run_dir),
        StaticFiles(web_directory()),
        counters,
        anonymous_networks=settings.auth.anonymous_networks,
        is_tls=settings.tls.is_on,
        node=settings.cluster.node if settings.cluster.is_on else None,
    )
    server = HttpServer(api, actor=context.identity.name, limits=limits, counters=counters)
    async with trio.open_nursery() as nursery:
        for actor in (*PUBLISHERS, *(["bridge"] if context.settings.cluster.is_on else [])):
            nursery.start_soon(receive_stats, context.bus.subscriber(actor, "pub", STATS_TOPIC), book)
        nursery.start_soon(context.gateway.serve, server.serve)
        context.ready()
        await context.draining.wait()
        await drain(context.gateway)
        nursery.cancel_scope.cancel()


async def receive_stats(subscriber: BusSubscriber, book: StatsBook) -> None:
    """Receive the statistics of one actor's processes, for ever."""
    while True:
        for frame in await subscriber.receive_many():
            book.receive(_decode(frame[len(STATS_TOPIC) :]), trio.current_time())


def _decode(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
