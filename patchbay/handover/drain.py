"""Drains an actor that stops: its connections go to its successor or, without a gateway, are closed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from patchbay.protocol.errors import CLOSE_GOING_AWAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from patchbay.handover.link import GatewayLink

log = logging.getLogger(__name__)

BATCH_MIN = 8  # connections
BATCH_INTERVAL_S = 0.01
BATCHES_MAX = 100  # so that draining takes a second at most
PARK_TIMEOUT_S = 1.5


async def drain(link: GatewayLink, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
    """Give up all connections, and return when the last has ended here, or after PARK_TIMEOUT_S.

    Connections are parked at the gateway, which gives them to the actor's next process: in batches, so each connection
    waits only until the successor has resumed its batch, and the others are served here meanwhile.

    Args:
        prepare: called when no more connections arrive, before the first is parked.
    """
    await link.stop_accepting()
    if link.is_connected and prepare is not None:
        await prepare()
    connections = list(link.connections.values())
    if link.is_connected:
        size = max(BATCH_MIN, len(connections) // BATCHES_MAX)
        for at in range(0, len(connections), size):
            for connection in connections[at : at + size]:
                if connection.id in link.connections:  # else it has ended meanwhile
                    connection.on_drain()
            await trio.sleep(BATCH_INTERVAL_S)
    else:
        async with trio.open_nursery() as nursery:
            for connection in connections:
                nursery.start_soon(connection.close, CLOSE_GOING_AWAY, "server stopping")
    with trio.move_on_after(PARK_TIMEOUT_S):
        await link.wait_empty()
    await link.flush()
    log.info("%d connections given up, %d left", len(connections), len(link.connections))
