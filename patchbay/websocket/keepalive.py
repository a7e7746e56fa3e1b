"""Looks after open connections: finds those whose other end has silently gone, and ends those whose time is over.

An idle peer is asked with a ping and ended when it does not answer; half a frame is no answer. A connection ends, with a word,
when a message takes too long, when its token has expired, or when it has lasted as long as any may.
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

COUNTED_AS: Final = {
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
    """Ping peers that were not heard of for `interval_s`; end those that stay silent `timeout_s` more, those whose message or
    frame is not whole after `message_timeout_s`, those whose token has expired by the clock `wall`, and those older than `lifetime_s`;
    count these. For ever."""
    counters = Counter() if counters is None else counters
    asked: dict[int, float] = {}
    ending: dict[int, None] = {}
    async with trio.open_nursery() as nursery:

        def look() -> None:
            now, today = trio.current_time(), wall()
            present = {peer.handed.id: peer for peer in peers}
            for gone in [number for number in (*asked, *ending) if number not in present]:
                asked.pop(gone, None)
                ending.pop(gone, None)
            for number, peer in present.items():
                if _ask(peer, asked, now, interval_s, timeout_s, message_timeout_s):
                    counters["closed_silent"] += 1
                over = _is_over(peer, today, now, lifetime_s, message_timeout_s) if number not in ending else None
                if over is not None:
                    ending[number] = None
                    counters[COUNTED_AS[over[0]]] += 1
                    log.info("connection %d from %s: %s", number, peer.handed.peer, over[1])
                    nursery.start_soon(peer.close, *over)

        await every(SECOND, look)


def _ask(
    peer: WebSocketConnection,
    asked: dict[int, float],
    now: float,
    interval_s: float,
    timeout_s: float,
    message_timeout_s: float,
) -> bool:
    """Ask a silent peer; one that did not answer is ended: True."""
    number = peer.handed.id
    when = asked.get(number)
    if now - peer.last_heard < interval_s:
        asked.pop(number, None)
    elif when is None:
        asked[number] = now
        peer.send_queue.write_control(PING)
    elif now - when > timeout_s or (now - when > message_timeout_s and peer.is_within_frame):
        log.info("connection %d from %s does not answer; ending it", number, peer.handed.peer)
        peer.end_of_input()
        return True
    return False


def _is_over(
    peer: WebSocketConnection, today: float, now: float, lifetime_s: float, message_timeout_s: float
) -> tuple[int, str] | None:
    """The close code and reason of a connection whose time is over."""
    if peer.is_within_message and now - peer.message_since > message_timeout_s:
        return CLOSE_POLICY, f"a message was not whole after {message_timeout_s:g} s"
    if today > expires_at(peer.handed.claims):
        return CLOSE_EXPIRED, "the token has expired; come back with a new one"
    if now - peer.opened_at > lifetime_s:
        return CLOSE_LIFETIME, "this connection has lasted long enough; come back"
    return None
