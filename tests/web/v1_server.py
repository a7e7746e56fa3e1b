"""A small server of `patchbay.v1` (docs/protocol-v1.md) for tests of the client: one call, played from frames in
memory.

Runs in a thread of its own, for tests that drive a browser synchronously.
"""

from __future__ import annotations

import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import trio
from trio_websocket import ConnectionClosed, serve_websocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_websocket import WebSocketConnection, WebSocketRequest

FRAME_S = 0.020
CALL_NUMBER, STREAM, TALK = 1, 5, 9
TRACKS = ("inbound", "outbound")
AUDIO = struct.Struct("<BBBBHHIII")
REPLAYED = 15  # frames: 300 ms


@dataclass
class V1Server:
    """What it plays, and what it was told."""

    codec: int
    format: dict[str, object]
    frames: list[bytes]
    port: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    talk: list[bytes] = field(default_factory=list)
    connections: list[WebSocketConnection] = field(default_factory=list)
    floor_taken: bool = False
    _sent: int = 0
    _token: trio.lowlevel.TrioToken | None = None
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def drop(self, code: int) -> None:
        """Close the latest connection, from another thread."""
        assert self._token is not None
        trio.from_thread.run(self.connections[-1].aclose, code, trio_token=self._token)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What was said, of one type."""
        return [message for message in self.messages if message["type"] == kind]

    async def run(self, started: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                server = await nursery.start(serve_websocket, self._handle, "127.0.0.1", 0, None)
                self.port = server.port
                self._began = trio.current_time()
                started.set()

    async def _handle(self, request: WebSocketRequest) -> None:
        chosen = "patchbay.v1" if "patchbay.v1" in request.proposed_subprotocols else None
        websocket = await request.accept(subprotocol=chosen)
        self.connections.append(websocket)
        await _say(websocket, type="welcome", protocol="patchbay.v1", epoch="1", can=["listen", "talk"])
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    message = await websocket.get_message()
                    if isinstance(message, bytes):
                        self.talk.append(message)
                    else:
                        self.messages.append(orjson.loads(message))
                        await self._answer(websocket, self.messages[-1], nursery)
        except* ConnectionClosed:
            pass  # the client has gone, or was sent away

    async def _answer(self, websocket: WebSocketConnection, message: dict[str, Any], nursery: trio.Nursery) -> None:
        named = {"call": CALL_NUMBER, "call_control_id": message.get("call_control_id")}
        match message["type"]:
            case "subscribe":
                await _say(websocket, type="subscribed", state="live", **named)
                await _say(websocket, type="stream", call=CALL_NUMBER, stream=STREAM, format=self.format, start={})
                nursery.start_soon(self._play, websocket)
            case "talk.start" if self.floor_taken:
                await _say(
                    websocket, type="error", id=message["id"], code=200005, title="floor_taken", detail="Eve talks"
                )
            case "talk.start":
                await _say(websocket, type="talk.started", id=message["id"], talk=TALK, codec="PCMA", **named)
            case "ping":
                await _say(websocket, type="pong", sent=message["sent"], time=0)

    async def _play(self, websocket: WebSocketConnection) -> None:
        """Play what is kept and then what is live. A page that comes again, however late, hears some of it twice."""
        now = int((trio.current_time() - self._began) / FRAME_S) + REPLAYED
        for sequence in range(min(now, self._sent or now) - REPLAYED, 1 << 31):
            self._sent = max(self._sent, sequence + 1)
            for track in range(len(TRACKS)):
                payload = self.frames[(sequence + track * len(self.frames) // 2) % len(self.frames)]
                flags = int(sequence < now)
                header = AUDIO.pack(1, track, self.codec, flags, CALL_NUMBER, 0, STREAM, sequence, sequence * 20)
                await websocket.send_message(header + payload)
            await trio.sleep_until(self._began + (sequence - REPLAYED + 1) * FRAME_S)


async def _say(websocket: WebSocketConnection, **message: object) -> None:
    await websocket.send_message(orjson.dumps(message).decode())


@contextmanager
def v1_server(codec: int, format_: dict[str, object], frames: list[bytes]) -> Iterator[V1Server]:
    """A running one."""
    server = V1Server(codec, format_, frames)
    started = threading.Event()
    thread = threading.Thread(target=trio.run, args=(server.run, started))
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        assert server._token is not None
        server._token.run_sync_soon(server._scope.cancel)
        thread.join(10)
