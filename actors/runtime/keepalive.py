"""Finds connections whose other end has silently gone: asks an idle peer with a ping, ends one that does not answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from actors.wire.websocket import PING

if TYPE_CHECKING:
    from collections.abc import Collection

    from actors.runtime.peer import Peer

log = logging.getLogger(__name__)

LOOK_INTERVAL_S = 1.0


async def keep_alive(peers: Collection[Peer], *, interval_s: float, timeout_s: float) -> None:
    """Ping peers that were not heard of for `interval_s`; end those that stay silent `timeout_s` more. For ever."""
    asked: dict[int, float] = {}
    while True:
        await trio.sleep(LOOK_INTERVAL_S)
        now = trio.current_time()
        present = list(peers)
        asked = {peer.handed.id: asked[peer.handed.id] for peer in present if peer.handed.id in asked}
        for peer in present:
            when = asked.get(peer.handed.id)
            if now - peer.last_heard < interval_s:
                asked.pop(peer.handed.id, None)
            elif when is None:
                asked[peer.handed.id] = now
                peer.outbox.write_control(PING)
            elif now - when > timeout_s:
                log.info("connection %d from %s does not answer; ending it", peer.handed.id, peer.handed.peer)
                peer.end_of_input()
