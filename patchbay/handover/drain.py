"""How an actor with connections stops: they go to its successor, or, without a gateway, end with a word."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from patchbay.protocol.errors import CLOSE_GOING_AWAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from patchbay.handover.link import GatewayLink

log = logging.getLogger(__name__)

FEW = 8
PART_INTERVAL_S = 0.01
PARTS_MAX = 100  # so that it takes a second at most
PARK_TIMEOUT_S = 1.5


async def drain(link: GatewayLink, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
    """Give every connection up, in good order.

    Args:
        prepare: what is to be done when no more connections come and before the first one goes to a successor.

    Connections are parked at the gateway, whose next process of this actor goes on with them: a few at a time, so that
    each of them waits only until its successor has taken up those few, while the others are served here. Returns when
    all have gone, or after a bounded time.
    """
    await link.leave()
    if link.present and prepare is not None:
        await prepare()
    connections = list(link.connections.values())
    if link.present:
        few = max(FEW, len(connections) // PARTS_MAX)
        for at in range(0, len(connections), few):
            for connection in connections[at : at + few]:
                if connection.id in link.connections:  # it may have ended while the others were moved
                    connection.on_drain()
            await trio.sleep(PART_INTERVAL_S)
    else:
        async with trio.open_nursery() as nursery:
            for connection in connections:
                nursery.start_soon(connection.end, CLOSE_GOING_AWAY, "server stopping")
    with trio.move_on_after(PARK_TIMEOUT_S):
        await link.until_empty()
    await link.flush()
    log.info("%d connections given up, %d left", len(connections), len(link.connections))
