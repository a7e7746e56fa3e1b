"""Webhooks in and call events out while harm is done: what was answered 200 must reach every client, once."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field

import orjson
import trio
import trio_websocket

WEBHOOK_PATH = "/api/calls/telnyx/webhook"
POST_INTERVAL_S = 0.1
RETRY_S = 0.1
ANSWER_TIMEOUT_S = 5.0
ARRIVAL_TIMEOUT_S = 3.0


@dataclass
class EventCounts:
    """Of one window."""

    acknowledged: int = 0
    lost: int = 0
    twice: int = 0
    refused: int = 0  # connects
    retried: int = 0
    closed: int = 0  # clients


@dataclass
class Window:
    """What is known of the current one."""

    acknowledged: set[str] = field(default_factory=set)
    refused: int = 0
    retried: int = 0
    closed: int = 0


class Client:
    """One socket to /call-events, which counts what it gets."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._last = ""
        self._changed = trio.Event()
        self.seen: Counter[str] = Counter()
        self.closed = 0
        self.connected = trio.Event()

    async def run(self) -> None:
        """Listen, and come back where it was when disconnected. For ever."""
        while True:
            path = f"/call-events?since={self._last}" if self._last else "/call-events"
            try:
                async with trio_websocket.open_websocket("127.0.0.1", self._port, path, use_ssl=False) as websocket:
                    self.connected.set()
                    while True:
                        self._take(orjson.loads(await websocket.get_message()))
            except (OSError, trio_websocket.ConnectionClosed, trio_websocket.HandshakeError):
                self.closed += self.connected.is_set()
                await trio.sleep(RETRY_S)

    def _take(self, event: dict[str, object]) -> None:
        if "id" in event and "offset" in event:
            self.seen[str(event["id"])] += 1
            self._last = str(event["offset"])
            self._changed.set()

    async def until_seen(self, ids: set[str]) -> None:
        """Wait until all these have come."""
        while not ids <= self.seen.keys():
            self._changed = trio.Event()
            await self._changed.wait()


class Events:
    """A few clients, and webhooks at a steady rate, each on a connection of its own, sent until it is answered 200."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._clients = [Client(port) for _ in range(clients)]
        self._window = Window()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Go on until cancelled."""
        async with trio.open_nursery() as nursery:
            for client in self._clients:
                nursery.start_soon(client.run)
            for client in self._clients:
                await client.connected.wait()
            task_status.started()
            while True:
                nursery.start_soon(self._deliver)
                await trio.sleep(POST_INTERVAL_S)

    def begin(self) -> None:
        """A window begins."""
        self._window = Window()
        for client in self._clients:
            client.closed = 0

    async def end(self) -> EventCounts:
        """The window ends: what was acknowledged in it is given time to arrive."""
        window, self._window = self._window, Window()
        with trio.move_on_after(ARRIVAL_TIMEOUT_S):
            for client in self._clients:
                await client.until_seen(window.acknowledged)
        counts = EventCounts(len(window.acknowledged), refused=window.refused, retried=window.retried)
        for client in self._clients:
            counts.lost += len(window.acknowledged - client.seen.keys())
            counts.twice += sum(count - 1 for count in client.seen.values())
            counts.closed += client.closed
            client.seen = Counter(client.seen.keys())
        return counts

    async def _deliver(self) -> None:
        event_id = str(uuid.uuid4())
        payload = {"call_control_id": f"v3:{event_id}", "digit": "1"}
        about = {"event_type": "call.dtmf.received", "id": event_id, "occurred_at": "2026-01-01T00:00:00Z"}
        body = orjson.dumps({"data": {**about, "record_type": "event", "payload": payload}})
        while not await self._post(body):
            self._window.retried += 1
            await trio.sleep(RETRY_S)
        self._window.acknowledged.add(event_id)

    async def _post(self, body: bytes) -> bool:
        head = f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self._port)
            except OSError:
                self._window.refused += 1
                return False
            async with stream:
                try:
                    await stream.send_all(head.encode() + body)
                    return (await stream.receive_some()).startswith(b"HTTP/1.1 200")
                except trio.BrokenResourceError:
                    return False
        return False
