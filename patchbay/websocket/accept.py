"""Opens the WebSocket on a connection that was handed over, or resumes one that a predecessor has opened."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from patchbay.websocket.connection import WebSocketConnection
from patchbay.websocket.frame_reader import ignore
from patchbay.websocket.handshake import answer_handshake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from patchbay.handover.connection import HandedConnection
    from patchbay.net.poller import Poller
    from patchbay.net.rate_limit import RateLimit
    from patchbay.websocket.send_queue import SendQueue

# The beginning of an incomplete frame stays in the kernel. It counts there with the size of its whole segment
# (`truesize`, over 128 KiB), which alone would close the window of a receive buffer of the default size, so the rest
# would never arrive. This buffer holds several such segments; the kernel doubles the value.
RECEIVE_BUFFER_BYTES = 256 * 1024
UNSENT_IN_KERNEL_BYTES = 4096  # half a second of PCMU


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
    """Open or resume the WebSocket on a connection, and serve it inside the block.

    The caller sets the callbacks, then calls `start`. Leaving the block ends reading and writing; the gateway link
    closes the descriptor.

    Args:
        rate_limit: of frames; a peer that exceeds it is closed with 4506.
        send_buffer_bytes: the size of the kernel's send buffer; None: the default.
        subprotocol: the one to accept; None: the one that carries a token.
        strict_text: close with 1007 as soon as text is not UTF-8.

    Yields:
        The connection; None when the handshake was refused.
    """
    handed.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if send_buffer_bytes is not None:
        # Audio that waits in the kernel can't be dropped when it is too old.
        handed.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        if handed.sock.family != socket.AF_UNIX:  # a socket pair with the gateway, which does TLS
            handed.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL_BYTES)
    peer = WebSocketConnection(handed, poller, send_queue, rate_limit, message_max_bytes, strict_text=strict_text)
    send_queue.on_broken, send_queue.on_remainder = peer.output_broke, handed.set_remainder
    send_queue.on_behind = partial(poller.want_write, peer)
    try:
        async with trio.open_nursery() as nursery:
            peer.on_too_much = lambda code, reason: nursery.start_soon(peer.close, code, reason)
            if not handed.resumed and not await _open(handed, poller, send_queue, subprotocol):
                yield None
            else:
                if handed.unsent:
                    send_queue.restore(handed.unsent)
                handed.on_drain, handed.on_close = peer.park, peer.close
                yield peer
            nursery.cancel_scope.cancel()
    finally:
        poller.remove(peer)
        peer.closed.set()
        _unlink(peer, send_queue, handed)


async def _open(handed: HandedConnection, poller: Poller, send_queue: SendQueue, subprotocol: str | None) -> bool:
    async with poller.openings:
        return await answer_handshake(handed, send_queue, subprotocol)


def _unlink(peer: WebSocketConnection, send_queue: SendQueue, handed: HandedConnection) -> None:
    """Remove the references between the objects of a connection, to save the garbage collector work."""
    peer.forget()
    send_queue.detach()  # a queue that is behind refers to itself, and to its frames
    send_queue.on_broken = send_queue.on_behind = send_queue.on_remainder = ignore
    handed.on_drain, handed.on_close = ignore, None
