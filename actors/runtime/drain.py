"""How an actor with connections stops: they go to its successor, or, without a gateway, end with a word."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from actors.wire.websocket import CLOSE_GOING_AWAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.runtime.gateway_link import GatewayLink
    from actors.runtime.pump import Pump

log = logging.getLogger(__name__)

SETTLE_S = 0.02  # for the bus to carry what was published last, before a successor publishes more
PARK_TIMEOUT_S = 1.5


async def drain(link: GatewayLink, pump: Pump | None = None, *, before: Callable[[], None] = lambda: None) -> None:
    """Give every connection up, in good order.

    Reading stops first and what was read is sent (`before`); then connections are parked at the gateway, whose next
    process of this actor goes on with them. Returns when that is done, or after a bounded time.
    """
    connections = list(link.connections.values())
    if link.present:
        await link.leave()
        if pump is not None:
            pump.pause()
        before()
        await trio.sleep(SETTLE_S)
        for connection in connections:
            connection.on_drain()
    else:
        before()
        async with trio.open_nursery() as nursery:
            for connection in connections:
                nursery.start_soon(connection.end, CLOSE_GOING_AWAY, "server stopping")
    with trio.move_on_after(PARK_TIMEOUT_S):
        await link.until_empty()
    await link.flush()
    log.info("%d connections given up, %d left", len(connections), len(link.connections))
