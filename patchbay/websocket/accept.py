"""Opens the WebSocket on a connection that was handed over, or goes on with one that a predecessor had opened."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from patchbay.websocket.connection import WebSocketConnection
from patchbay.websocket.frame_reader import ignore
from patchbay.websocket.handshake import shake_hands

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from patchbay.handover.connection import HandedConnection
    from patchbay.net.poller import Poller
    from patchbay.net.rate_limit import RateLimit
    from patchbay.websocket.send_queue import SendQueue

# What is left of a big segment counts in the kernel with all the room that the segment took (`truesize`, over 128 KiB), and
# we leave the beginning of a frame there until its rest has come. With the usual first size of a receive buffer that alone
# would close the window, and the rest would never come. Several such segments fit into this; the kernel doubles it.
RECEIVE_BUFFER_BYTES = 256 * 1024
UNSENT_IN_KERNEL_BYTES = 4096  # half a second of PCMU; enough, since what follows is sent as soon as there is room


@asynccontextmanager
async def accept(
    handed: HandedConnection,
    poller: Poller,
    send_queue: SendQueue,
    *,
    message_max_bytes: int,
    rate_limit: RateLimit,
    send_buffer_bytes: int | None = None,
    subprotocol: str | None = None,
    strict_text: bool = True,
) -> AsyncIterator[WebSocketConnection | None]:
    """Open (or resume) the WebSocket on a handed connection; yields None when the handshake was refused.

    A peer that sends more frames than its `rate_limit` is closed with 4506; with `strict_text`, one whose text is not UTF-8
    is closed with 1007 as soon as that shows.

    The caller sets the callbacks and then calls `start`. Leaving the block ends reading and writing; the descriptor is
    closed by the gateway link.
    """
    handed.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if send_buffer_bytes is not None:
        # What the kernel holds for a peer that does not read grows old there, where it can't be dropped.
        handed.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        if handed.sock.family != socket.AF_UNIX:  # there, the gateway does TLS and has the other end
            handed.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL_BYTES)
    peer = WebSocketConnection(handed, poller, send_queue, rate_limit, message_max_bytes, strict_text=strict_text)
    send_queue.on_broken, send_queue.on_rest = peer.output_broke, handed.set_rest
    send_queue.on_behind = partial(poller.want_write, peer)
    try:
        async with trio.open_nursery() as nursery:
            peer.on_too_much = lambda code, reason: nursery.start_soon(peer.close, code, reason)
            if not handed.resumed and not await _open(handed, poller, send_queue, subprotocol):
                yield None
            else:
                if handed.unsent:
                    send_queue.restore(handed.unsent)
                handed.on_drain, handed.on_end = peer.park, peer.close
                yield peer
            nursery.cancel_scope.cancel()
    finally:
        poller.remove(peer)
        peer.closed.set()
        _part(peer, send_queue, handed)


async def _open(handed: HandedConnection, poller: Poller, send_queue: SendQueue, subprotocol: str | None) -> bool:
    async with poller.openings:
        return await shake_hands(handed, send_queue, subprotocol)


def _part(peer: WebSocketConnection, send_queue: SendQueue, handed: HandedConnection) -> None:
    """Have what belonged together not hold each other any longer: else only the collector finds it, and audio waits
    while it does."""
    peer.forget()
    send_queue.detach()  # one that was behind would hold itself, and all that waits in it
    send_queue.on_broken = send_queue.on_behind = send_queue.on_rest = ignore
    handed.on_drain, handed.on_end = ignore, None
