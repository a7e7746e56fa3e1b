"""Opens the WebSocket on a connection that was handed over, or goes on with one that a predecessor had opened."""

from __future__ import annotations

import contextlib
import logging
import socket
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import trio
from wsproto.utilities import LocalProtocolError

from actors.runtime.nothing import nothing
from actors.runtime.peer import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from actors.runtime.allowance import Allowance
    from actors.runtime.handed import Handed
    from actors.runtime.outbox import Outbox
    from actors.runtime.pump import Pump

log = logging.getLogger(__name__)

# What is left of a big segment counts in the kernel with all the room that the segment took (`truesize`, over 128 KiB), and
# we leave the beginning of a frame there until its rest has come. With the usual first size of a receive buffer that alone
# would close the window, and the rest would never come. Several such segments fit into this; the kernel doubles it.
RECEIVE_BUFFER_BYTES = 256 * 1024
UNSENT_IN_KERNEL_BYTES = 4096  # half a second of PCMU; enough, since what follows is sent as soon as there is room
FRAME_HEAD_MAX_BYTES = 14  # RFC 6455 §5.2


@asynccontextmanager
async def accept(
    handed: Handed,
    pump: Pump,
    outbox: Outbox,
    *,
    message_max_bytes: int,
    allowance: Allowance,
    send_buffer_bytes: int | None = None,
    subprotocol: str | None = None,
) -> AsyncIterator[Peer | None]:
    """Open (or resume) the WebSocket on a handed connection; yields None when the handshake was refused.

    A peer that sends more frames than its `allowance` is closed with 4506.

    The caller sets the callbacks and then calls `start`. Leaving the block ends reading and writing; the descriptor is
    closed by the gateway link.
    """
    handed.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if send_buffer_bytes is not None:
        # What the kernel holds for a peer that does not read grows old there, where it can't be dropped.
        handed.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        if handed.sock.family != socket.AF_UNIX:  # there, the gateway does TLS and has the other end
            handed.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL_BYTES)
    peer = Peer(handed, pump, outbox, allowance, message_max_bytes + FRAME_HEAD_MAX_BYTES)
    outbox.on_broken, outbox.on_rest = peer.end_of_input, handed.set_rest
    outbox.on_behind = partial(pump.want_write, peer)
    try:
        async with trio.open_nursery() as nursery:
            try:
                async with nullcontext() if handed.resumed else pump.openings:
                    is_open = await peer.open(nursery, message_max_bytes, subprotocol)
                if is_open:
                    peer.on_too_much = lambda code, reason: nursery.start_soon(peer.close, code, reason)
                    if handed.unsent:
                        outbox.restore(handed.unsent)
                    handed.on_drain, handed.on_end = peer.park, peer.close
                    yield peer
                else:
                    yield None
            finally:
                pump.remove(peer)
                with contextlib.suppress(trio.BrokenResourceError), trio.CancelScope(shield=True):
                    await peer.aclose()
                nursery.cancel_scope.cancel()
    except* LocalProtocolError:
        if not peer.is_closing:
            raise
        log.debug("connection %d: a ping after our goodbye, which trio-websocket would answer", handed.id)
    finally:
        _part(peer, outbox, handed)


def _part(peer: Peer, outbox: Outbox, handed: Handed) -> None:
    """Have what belonged together not hold each other any longer: else only the collector finds it, and audio waits
    while it does."""
    peer.forget()
    outbox.detach()  # one that was behind would hold itself, and all that waits in it
    outbox.on_broken = outbox.on_behind = outbox.on_rest = nothing
    handed.on_drain, handed.on_end = nothing, None
