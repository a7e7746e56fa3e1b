"""Clients as they are out there: they read all the time, and keep what they got."""

from __future__ import annotations

from base64 import b64decode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
import trio
import trio_websocket
from websockets.frames import Frame, Opcode
from wsproto.utilities import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from tests.e2e.system import System

TIMEOUT_S = 90.0  # a moment is plenty, but on a machine with better things to do
CLOSE_TIMEOUT_S = 5.0
ROOMY_BYTES = 256 * 1024  # or a busy machine would make every client of a test a slow one, whose audio is dropped


class Client:
    """One WebSocket to the system.

    Attributes:
        messages: all that came, in order; `audio` are the binary ones, `texts` and `events` the others.
        closed: how it was closed, once it is.
    """

    def __init__(self, websocket: trio_websocket.WebSocketConnection, stream: trio.abc.SendStream) -> None:
        self.websocket = websocket
        self._stream = stream
        self.messages: list[str | bytes] = []
        self.audio: list[bytes] = []
        self.texts: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.closed: trio_websocket.CloseReason | None = None
        self.ended = False
        self._changed = trio.Event()

    def of(self, event: str) -> list[dict[str, Any]]:
        """Text messages of one kind."""
        return [message for message in self.events if event in (message.get("event"), message.get("type"))]

    @property
    def json_audio(self) -> list[bytes]:
        """The payloads of `format=json`."""
        return [b64decode(message["media"]["payload"]) for message in self.of("media")]

    async def until(self, condition: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the condition is true; it is asked whenever a message came, and at the end of the connection."""
        with trio.move_on_after(timeout_s):
            while not condition():
                assert not self.ended, f"the connection has ended: {self.closed}; {self._summary()}"
                self._changed = trio.Event()
                await self._changed.wait()
            return
        raise AssertionError(f"not within {timeout_s:g} s; {self._summary()}")

    async def until_start(self, count: int = 1) -> None:
        """Wait for start frames."""
        await self.until(lambda: len(self.of("start")) >= count)

    async def until_stop(self) -> None:
        """Wait for the stop frame."""
        await self.until(lambda: self.of("stop"))

    async def until_closed(self) -> trio_websocket.CloseReason:
        """Wait for the end of the connection, which must have had a close frame."""
        await self.until(lambda: self.ended)
        assert self.closed is not None
        return self.closed

    async def send(self, message: str | bytes | dict[str, Any]) -> None:
        """Send text, bytes, or an object as JSON."""
        await self.websocket.send_message(orjson.dumps(message).decode() if isinstance(message, dict) else message)

    async def send_bytes(self, data: bytes) -> None:
        """Send something as it is, past the WebSocket library."""
        await self._stream.send_all(data)

    async def send_together(self, texts: Iterable[str]) -> None:
        """Send messages in one piece, so that nothing comes between them, however busy the machine is."""
        frames = (Frame(Opcode.TEXT, text.encode()).serialize(mask=True) for text in texts)
        await self.send_bytes(b"".join(frames))

    async def read(self) -> None:
        """Read until the connection has closed."""
        try:
            while True:
                self._take(await self.websocket.get_message())
        except trio_websocket.ConnectionClosed as end:
            self.closed = end.reason
        finally:
            self.ended = True
            self._changed.set()

    def _take(self, message: str | bytes) -> None:
        self.messages.append(message)
        if isinstance(message, bytes):
            self.audio.append(message)
        else:
            self.texts.append(message)
            self.events.append(orjson.loads(message))
        self._changed.set()

    def _summary(self) -> str:
        return f"got {len(self.audio)} binary messages, and of {len(self.texts)} texts the last are {self.texts[-5:]}"


@asynccontextmanager
async def client(
    system: System,
    path: str = "/audio-stream",
    *,
    headers: dict[str, str] | None = None,
    subprotocols: Iterable[str] = (),
    reads: bool = True,
    receive_buffer_bytes: int = ROOMY_BYTES,
) -> AsyncIterator[Client]:
    """A connected client that reads in the background, or only when `read` is called."""
    stream = await _connect(system.port, receive_buffer_bytes)
    pairs = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
    closing = False
    try:
        async with stream, trio.open_nursery() as nursery:
            with trio.fail_after(TIMEOUT_S):
                websocket = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    f"127.0.0.1:{system.port}",
                    path,
                    extra_headers=pairs,
                    subprotocols=list(subprotocols),
                )
            connected = Client(websocket, stream)
            if reads:
                nursery.start_soon(connected.read)
            yield connected
            closing = True
            with trio.move_on_after(CLOSE_TIMEOUT_S):
                await websocket.aclose()
            nursery.cancel_scope.cancel()
    except* LocalProtocolError:
        if not closing:
            raise
        # trio-websocket answers a ping even after it has sent its close frame


async def _connect(port: int, receive_buffer_bytes: int) -> trio.SocketStream:
    sock = trio.socket.socket()
    sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, receive_buffer_bytes)
    await sock.connect(("127.0.0.1", port))
    return trio.SocketStream(sock)


@asynccontextmanager
async def listener(system: System, call_control_id: str | None = None, /, **parameters: str) -> AsyncIterator[Client]:
    """A client of the audio socket that has been welcomed."""
    wanted = parameters if call_control_id is None else {"call_control_id": call_control_id, **parameters}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in wanted.items())
    async with client(system, f"/audio-stream?{query}" if query else "/audio-stream") as connected:
        await connected.until(lambda: connected.of("connected"))
        yield connected
