"""One WebSocket connection from the simulator: opening, reading, sending, breaking, and how it ended.

The only module that knows the WebSocket library.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import trio
import trio_websocket

from simulator.http import describe, open_stream
from simulator.reconnect import ABNORMAL_CODE, Ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    Serve = Callable[["Connection"], Awaitable[None]]

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 0.5
MESSAGE_MAX_BYTES = 2 * 1024 * 1024  # 30 s of L16 at 16 kHz, in base64, in JSON: 1.28 MB
MESSAGE_QUEUE = 64


class ConnectionEnded(Exception):
    """The connection is closed, by whichever side."""


class Connection:
    """An open connection. Several tasks may send; one may receive."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection, stream: _HandshakeGuard) -> None:
        self._websocket = websocket
        self._stream = stream

    async def send(self, message: str | bytes) -> None:
        """Send a message whole. Cancelling it may tear the frame: only do that to give the connection up."""
        try:
            await self._websocket.send_message(message)
        except trio_websocket.ConnectionClosed as error:
            raise ConnectionEnded from error

    async def receive(self) -> str | bytes:
        """The next message. Cancelling is safe."""
        try:
            return await self._websocket.get_message()
        except trio_websocket.ConnectionClosed as error:
            raise ConnectionEnded from error

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close in order; when the peer does not answer in time, without it."""
        with trio.move_on_after(CLOSE_TIMEOUT_S):
            await self._websocket.aclose(code, reason)

    def abort(self) -> None:
        """Break the connection as a failing network does: a TCP reset, no close frame."""
        self._stream.reset()

    @property
    def ending(self) -> Ending:
        closed = self._websocket.closed
        if closed is None:
            return Ending(opened=True, code=ABNORMAL_CODE, reason="")
        return Ending(opened=True, code=closed.code, reason=closed.reason or "")


async def attend(url: str, headers: Iterable[tuple[str, str]], serve: Serve) -> Ending:
    """Connect, run `serve` until it returns or the connection ends, and say how it ended.

    Never raises for what the peer or the network does. When `serve` returns on an open connection it is closed
    with 1000. Cancelling is safe; it leaves the connection without a close frame.
    """
    try:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            stream = _HandshakeGuard(await open_stream(url))
    except trio.TooSlowError:
        return Ending(opened=False, code=None, reason=f"no connection within {CONNECT_TIMEOUT_S:g} s")
    except OSError as error:
        return Ending(opened=False, code=None, reason=describe(error))
    ending = Ending(opened=True, code=ABNORMAL_CODE, reason="")
    try:
        async with stream, trio.open_nursery() as nursery:
            ending = await _shake_hands_and_serve(nursery, stream, url, headers, serve)
            nursery.cancel_scope.cancel()
    except* trio_websocket.ConnectionRejected as group:
        ending = Ending(opened=False, code=None, reason=_rejection(group))
    except* (OSError, trio.TooSlowError) as group:
        ending = Ending(opened=False, code=None, reason=describe(group))
    except* trio_websocket.ConnectionClosed:
        # The library's reader lets it out when the peer is gone while it answers a protocol error.
        pass
    return ending


async def _shake_hands_and_serve(
    nursery: trio.Nursery,
    stream: _HandshakeGuard,
    url: str,
    headers: Iterable[tuple[str, str]],
    serve: Serve,
) -> Ending:
    parts = urlsplit(url)
    with trio.fail_after(CONNECT_TIMEOUT_S):
        websocket = await trio_websocket.wrap_client_stream(
            nursery,
            cast("trio.SocketStream", stream),
            parts.netloc.rpartition("@")[2],
            (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            extra_headers=[(name.encode(), value.encode()) for name, value in headers],
            message_queue_size=MESSAGE_QUEUE,
            max_message_size=MESSAGE_MAX_BYTES,
        )
    stream.opened = True
    connection = Connection(websocket, stream)
    try:
        await serve(connection)
    except ConnectionEnded:
        return connection.ending
    await connection.close()
    return connection.ending


def _rejection(group: BaseExceptionGroup[trio_websocket.ConnectionRejected]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, trio_websocket.ConnectionRejected):
        return describe(error)
    body = (error.body or b"")[:200].decode(errors="replace").strip()
    return f"HTTP {error.status_code}" + (f": {body}" if body else "")


class _HandshakeGuard(trio.abc.Stream):
    """A stream that raises when it ends within the handshake: trio-websocket would wait for ever."""

    def __init__(self, inner: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self._inner = inner
        self.opened = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._inner.receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            if self.opened:
                raise
            raise ConnectionResetError("reset during the handshake") from error
        if not data and not self.opened:
            raise ConnectionResetError("closed during the handshake")
        return data

    async def aclose(self) -> None:
        await self._inner.aclose()

    def reset(self) -> None:
        inner = self._inner
        stream = inner if isinstance(inner, trio.SocketStream) else inner.transport_stream
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()
