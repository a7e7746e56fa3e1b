"""Telnyx's side and the clients' side of call events, with as little code in between as possible: tests with many of
them."""

from __future__ import annotations

import base64
import time
from typing import Any

import orjson
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TARGET = "/api/calls/telnyx/webhook"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


def webhook(number: int, note: str = "") -> bytes:
    """A signed request."""
    call = f"v3:storm-{number % 200}"
    payload = {"call_control_id": call, "from": "+33100000001", "to": "+33100000002", "note": note}
    kind = ("call.initiated", "call.answered", "call.dtmf.received", "call.hangup")[number // 200 % 4]
    data = {
        "event_type": kind,
        "id": f"storm-{number}",
        "occurred_at": "2026-01-01T00:00:00.000000Z",
        "payload": payload,
    }
    body = orjson.dumps({"data": data, "meta": {"attempt": 1}})
    timestamp = str(int(time.time())).encode()
    signature = base64.b64encode(KEY.sign(timestamp + b"|" + body)).decode()
    head = (
        f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Telnyx-Timestamp: {timestamp.decode()}\r\nTelnyx-Signature-Ed25519: {signature}\r\n\r\n"
    )
    return head.encode() + body


class Poster:
    """One keep-alive connection of Telnyx; opened anew whenever it has been closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stream: trio.SocketStream | None = None

    async def post(self, request: bytes) -> int:
        """The status of the answer; 0: there was none."""
        try:
            with trio.fail_after(15):
                if self._stream is None:
                    self._stream = await trio.open_tcp_stream("127.0.0.1", self._port)
                await self._stream.send_all(request)
                return await self._status(self._stream)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError):
            await self.aclose()
            return 0

    async def aclose(self) -> None:
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)
            self._stream = None

    async def _status(self, stream: trio.SocketStream) -> int:
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += await self._more(stream)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += await self._more(stream)
        if b"connection: close" in head.lower():
            await self.aclose()
        return int(head.split(b" ", 2)[1])

    async def _more(self, stream: trio.SocketStream) -> bytes:
        data = await stream.receive_some()
        if not data:
            raise trio.BrokenResourceError
        return bytes(data)


class Listener:
    """A client of `/call-events` that reads what comes; see `read`."""

    def __init__(self, name: str, query: str = "") -> None:
        self.name = name
        self.query = query
        self.ids: list[str] = []
        self.offsets: list[int] = []
        self.welcomes = 0
        self.not_recovered = 0
        self.leave_at: float | None = None
        self._buffer = b""

    async def read(self, port: int, since: int | None = None) -> None:
        """Connect and read until the connection ends, or until it is to be left."""
        query = self.query if since is None else f"?since={since}"
        self._buffer = b""
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            head = f"GET /call-events{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            await stream.send_all((head + key).encode())
            while b"\r\n\r\n" not in self._buffer:
                self._buffer += await self._more(stream)
            assert self._buffer.startswith(b"HTTP/1.1 101 "), self._buffer
            self._buffer = self._buffer.partition(b"\r\n\r\n")[2]
            while True:
                self._take()
                if self.leave_at is not None and trio.current_time() > self.leave_at:
                    return
                self._buffer += await self._more(stream)

    async def _more(self, stream: trio.SocketStream) -> bytes:
        data = await stream.receive_some(262_144)
        if not data:
            raise ConnectionError(f"{self.name}: the connection has ended after {len(self.ids)} events")
        return bytes(data)

    def _take(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 10 or (len(buffer) - at >= 2 and buffer[at + 1] < 126):
            length, start = buffer[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if start + length > len(buffer):
                break
            if buffer[at] == 0x81:
                self._message(orjson.loads(buffer[start : start + length]))
            else:
                assert buffer[at] == 0x89, f"{self.name}: frame {buffer[at : at + 40]!r}"
            at = start + length
        self._buffer = buffer[at:]

    def _message(self, message: dict[str, Any]) -> None:
        if message["type"] == "welcome":
            self.welcomes += 1
            self.not_recovered += message.get("recovered") is False
        elif message["type"] != "snapshot":
            self.offsets.append(message["offset"])
            if message["id"].startswith("storm-"):
                self.ids.append(message["id"])
