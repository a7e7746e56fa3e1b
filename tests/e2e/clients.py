"""Clients as they are out there: they read all the time, and keep what they got."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import trio
import trio_websocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.e2e.system import System

TIMEOUT_S = 30.0


class Client:
    """One WebSocket to the system."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection) -> None:
        self.websocket = websocket
        self.messages: list[str | bytes] = []
        self.closed: trio_websocket.CloseReason | None = None
        self._changed = trio.Event()

    @property
    def audio(self) -> list[bytes]:
        """Binary messages."""
        return [message for message in self.messages if isinstance(message, bytes)]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Text messages, decoded."""
        return [orjson.loads(message) for message in self.messages if isinstance(message, str)]

    def of(self, event: str) -> list[dict[str, Any]]:
        """Text messages of one kind."""
        return [message for message in self.events if event in (message.get("event"), message.get("type"))]

    async def until(self, condition: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the condition is true; it is asked whenever a message came."""
        with trio.fail_after(timeout_s):
            while not condition():
                self._changed = trio.Event()
                await self._changed.wait()

    async def send(self, message: str | bytes | dict[str, Any]) -> None:
        """Send text, bytes, or an object as JSON."""
        await self.websocket.send_message(orjson.dumps(message).decode() if isinstance(message, dict) else message)

    async def read(self) -> None:
        """Read until the connection has closed."""
        try:
            while True:
                self.messages.append(await self.websocket.get_message())
                self._changed.set()
        except trio_websocket.ConnectionClosed as end:
            self.closed = end.reason
            self._changed.set()


@asynccontextmanager
async def client(system: System, path: str = "/audio-stream", *, headers: dict[str, str] | None = None) -> AsyncIterator[Client]:
    """A connected client that reads in the background."""
    pairs = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
    async with trio.open_nursery() as nursery:
        async with trio_websocket.open_websocket_url(system.url(path), extra_headers=pairs) as websocket:
            connected = Client(websocket)
            nursery.start_soon(connected.read)
            yield connected
        nursery.cancel_scope.cancel()
