"""Answers the opening handshake of a WebSocket (RFC 6455 §4.2) with trio-websocket. The request head was read
before."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed, wrap_server_stream

from patchbay.auth.tokens import answered_subprotocol
from patchbay.http.answers import answer
from patchbay.http.head import parse_known_head

if TYPE_CHECKING:
    import socket

    from patchbay.handover.connection import HandedConnection
    from patchbay.websocket.send_queue import SendQueue

TIMEOUT_S = 5.0


async def answer_handshake(handed: HandedConnection, send_queue: SendQueue, subprotocol: str | None) -> bool:
    """Answer the handshake. Return False when it was refused, or when the peer has gone.

    Args:
        subprotocol: the one to accept; None: the one that carries a token.
    """
    accepted = False
    with trio.move_on_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            stream = _HeadStream(handed, send_queue, nursery.cancel_scope)
            request = await wrap_server_stream(nursery, stream)
            with suppress(ConnectionClosed):  # the peer has reset the connection
                await request.accept(subprotocol=subprotocol or answered_subprotocol(request.proposed_subprotocols))
                accepted = handed.answered
            nursery.cancel_scope.cancel()  # ends trio-websocket's reader
    return accepted


def refuse(sock: socket.socket, status: int, text: str) -> None:
    """Refuse the handshake with an HTTP status. The peer may have gone. The caller closes the connection."""
    with suppress(OSError):
        sock.send(answer(status, text))


def minimal_head(head: bytes) -> bytes:
    """Return a head with only the headers that the handshake needs.

    trio-websocket decodes other headers, too, and raises on those that it can't decode (a Host that is no IDNA name).
    """
    parsed = parse_known_head(head)
    lines = ["GET / HTTP/1.1", "Host: localhost"]
    if parsed.asks_for_upgrade:
        lines += ["Upgrade: websocket", "Connection: Upgrade"]
    for name in ("Sec-WebSocket-Version", "Sec-WebSocket-Key"):
        lines += [f"{name}: {value}" for value in parsed.every(name)]
    names = [name for name in parsed.subprotocols if name.isascii() and name]
    if names:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(names)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii", "replace")


class _HeadStream(trio.abc.Stream):
    """Gives trio-websocket the head to read, and writes its answer to the send queue."""

    def __init__(self, handed: HandedConnection, send_queue: SendQueue, scope: trio.CancelScope) -> None:
        self._handed = handed
        self._send_queue = send_queue
        self._scope = scope
        self._head = minimal_head(handed.head)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the head, then wait for ever: all bytes behind the head stay in the socket."""
        head, self._head = self._head, b""
        await trio.lowlevel.checkpoint()
        if not head:
            await trio.sleep_forever()
        return head

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write or queue the answer, without waiting for the peer."""
        await trio.lowlevel.checkpoint()
        self._handed.about_to_answer()
        if not self._send_queue.write_control(bytes(data)):
            raise trio.BrokenResourceError
        self._handed.answer_sent()

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: `send_all` never blocks."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """End the handshake, which trio-websocket has refused. The gateway link closes the descriptor."""
        self._scope.cancel()
        await trio.lowlevel.checkpoint()
