"""What the simulator connects to in tests: a bare WebSocket server and a bare webhook receiver, on loopback sockets."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h11
import trio
import trio_websocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Stream:
    """One connection from the simulator."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection, request: Any) -> None:
        self.path: str = request.path
        self.headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        self.frames: list[dict[str, Any]] = []
        self.closed: trio_websocket.CloseReason | None = None
        self._websocket = websocket

    async def send(self, frame: dict[str, Any] | str | bytes) -> None:
        await self._websocket.send_message(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def close(self, code: int, reason: str | None = None) -> None:
        await self._websocket.aclose(code, reason)

    def events(self, event: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["event"] == event]

    def media(self, track: str = "inbound") -> list[dict[str, Any]]:
        return [frame["media"] for frame in self.events("media") if frame["media"]["track"] == track]


class Application:
    """The server: all streams so far, and waiting for them to be as a test wants them."""

    def __init__(self) -> None:
        self.url = ""
        self.streams: list[Stream] = []
        self._changed = trio.Event()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(60):
            while not condition():
                await self._changed.wait()

    async def stream(self, index: int = 0) -> Stream:
        await self.wait_until(lambda: len(self.streams) > index)
        return self.streams[index]

    async def handle(self, request: trio_websocket.WebSocketRequest) -> None:
        websocket = await request.accept()
        stream = Stream(websocket, request)
        self.streams.append(stream)
        self.pulse()
        try:
            while True:
                stream.frames.append(json.loads(await websocket.get_message()))
                self.pulse()
        except trio_websocket.ConnectionClosed as error:
            stream.closed = error.reason
            self.pulse()

    def pulse(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def application() -> AsyncIterator[Application]:
    app = Application()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = trio_websocket.WebSocketServer(app.handle, listeners, handler_nursery=nursery, message_queue_size=100)
        await nursery.start(server.run)
        app.url = f"ws://127.0.0.1:{server.port}/audio-stream"
        yield app
        nursery.cancel_scope.cancel()


@dataclass
class Received:
    """One request at the webhook receiver."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


@dataclass
class Receiver:
    """Answers with `statuses` by turns, then 200; None: closes without an answer."""

    url: str
    requests: list[Received] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    location: str = ""  # where redirects lead
    asked: trio.Event = field(default_factory=trio.Event)  # there has been a request

    @property
    def types(self) -> list[str]:
        return [request.json["data"]["event_type"] for request in self.requests]

    async def handle(self, stream: trio.SocketStream) -> None:
        connection, body, head = h11.Connection(h11.SERVER), b"", None
        async with stream:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(bytes(await stream.receive_some()))
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    break
            if head is None:
                return
            headers = {name.decode(): value.decode() for name, value in head.headers}
            self.requests.append(Received(head.method.decode(), head.target.decode(), headers, body))
            self.asked.set()
            status = self.statuses.pop(0) if self.statuses else 200
            if status is not None:
                answer = b"some words"
                sent = [("Content-Length", str(len(answer))), ("Connection", "close")]
                sent += [("Location", self.location)] if self.location else []
                data = connection.send(h11.Response(status_code=status, headers=sent)) or b""
                data += connection.send(h11.Data(data=answer)) or b""
                await stream.send_all(data + (connection.send(h11.EndOfMessage()) or b""))


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        found = Receiver(f"http://127.0.0.1:{port}/api/calls/telnyx/webhook")
        nursery.start_soon(trio.serve_listeners, found.handle, listeners)
        yield found
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def listener_that(handle: Callable[[trio.SocketStream], Any]) -> AsyncIterator[str]:
    """A TCP server with a handler of the test's own; gives its ws:// URL."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield f"ws://127.0.0.1:{port}/audio-stream"
        nursery.cancel_scope.cancel()


def reset(stream: trio.SocketStream) -> None:
    """Close with a TCP reset."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()
