"""Runs the process of `bridge`: joins links, leases, fan-outs and ingest processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.bridge.redis_client import open_redis

if TYPE_CHECKING:
    from patchbay.process.context import Context


async def run(context: Context) -> None:
    """Serve until the process is to stop."""
    async with open_redis(context.settings.cluster.redis_url or ""):
        context.ready()
        await context.draining.wait()
