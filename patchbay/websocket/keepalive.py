"""Pings idle connections, and closes those that are dead, too old, or have an expired token.

A peer that does not answer a ping is aborted; an incomplete frame is no answer. A connection is closed with a code when
a message stays incomplete for too long, when its token has expired, and when it has reached its maximum age.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import trio

from patchbay.auth.tokens import expires_at
from patchbay.process.periodic import SECOND, every
from patchbay.protocol.errors import CLOSE_EXPIRED, CLOSE_LIFETIME, CLOSE_POLICY
from patchbay.websocket.frames import PING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from patchbay.websocket.connection import WebSocketConnection

log = logging.getLogger(__name__)

COUNTERS: Final = {
    CLOSE_EXPIRED: "closed_expired",
    CLOSE_LIFETIME: "closed_lifetime",
    CLOSE_POLICY: "closed_unfinished",
}


async def keep_alive(
    peers: Collection[WebSocketConnection],
    *,
    interval_s: float,
    timeout_s: float,
    message_timeout_s: float = math.inf,
    lifetime_s: float = math.inf,
    wall: Callable[[], float] = time.time,
    counters: Counter[str] | None = None,
) -> None:
    """Ping and close connections, once a second, until cancelled.

    Args:
        interval_s: a peer that has been silent for this long is pinged.
        timeout_s: a peer that stays silent for this long after a ping is aborted.
        message_timeout_s: a message that is incomplete for this long closes its connection.
        lifetime_s: the maximum age of a connection.
        wall: the clock that tokens expire by.
        counters: counts closed connections, by COUNTERS and `closed_silent`.
    """
    counters = Counter() if counters is None else counters
    pinged_at: dict[int, float] = {}
    ending: dict[int, None] = {}
    async with trio.open_nursery() as nursery:

        def check() -> None:
            now, today = trio.current_time(), wall()
            present = {peer.handed.id: peer for peer in peers}
            for gone in [number for number in (*pinged_at, *ending) if number not in present]:
                pinged_at.pop(gone, None)
                ending.pop(gone, None)
            for number, peer in present.items():
                if _ping(peer, pinged_at, now, interval_s, timeout_s, message_timeout_s):
                    counters["closed_silent"] += 1
                over = _close_reason(peer, today, now, lifetime_s, message_timeout_s) if number not in ending else None
                if over is not None:
                    ending[number] = None
                    counters[COUNTERS[over[0]]] += 1
                    log.info("connection %d from %s: %s", number, peer.handed.peer, over[1])
                    nursery.start_soon(peer.close, *over)

        await every(SECOND, check)


def _ping(
    peer: WebSocketConnection,
    pinged_at: dict[int, float],
    now: float,
    interval_s: float,
    timeout_s: float,
    message_timeout_s: float,
) -> bool:
    """Ping a silent peer. Return True when the peer was aborted, since it has not answered."""
    number = peer.handed.id
    when = pinged_at.get(number)
    if now - peer.last_heard < interval_s:
        pinged_at.pop(number, None)
    elif when is None:
        pinged_at[number] = now
        peer.send_queue.write_control(PING)
    elif now - when > timeout_s or (now - when > message_timeout_s and peer.is_within_frame):
        log.info("connection %d from %s does not answer pings; aborting it", number, peer.handed.peer)
        peer.end_of_input()
        return True
    return False


def _close_reason(
    peer: WebSocketConnection, today: float, now: float, lifetime_s: float, message_timeout_s: float
) -> tuple[int, str] | None:
    """Return the close code and reason of a connection that is to be closed; None: it stays open."""
    if peer.is_within_message and now - peer.message_since > message_timeout_s:
        return CLOSE_POLICY, f"a message was not whole after {message_timeout_s:g} s"
    if today > expires_at(peer.handed.claims):
        return CLOSE_EXPIRED, "the token has expired; come back with a new one"
    if now - peer.opened_at > lifetime_s:
        return CLOSE_LIFETIME, "this connection has lasted long enough; come back"
    return None
