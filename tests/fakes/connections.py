"""A connection as the gateway hands it over, made of a real TCP pair on loopback."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import trio

from patchbay.http.head_reader import read_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class FakeHandedConnection:
    """Has what `patchbay.handover.connection.HandedConnection` has; remembers what the actor did with it."""

    def __init__(
        self,
        sock: socket.socket,
        head: bytes,
        *,
        kind: Literal["ws", "http"] = "http",
        claims: dict[str, Any] | None = None,
        resumed: bool = False,
    ) -> None:
        self.sock = sock
        self.head = head
        self.kind = kind
        self.claims = claims
        self.resumed = resumed
        self.peer = "192.0.2.7"
        self.id = 1
        self.state = b""
        self.unsent = b""
        self.answered = resumed
        self.claimed: bytes | None = None
        self.is_transferred = False
        self.parked: bytes | None = None
        self.scope = trio.CancelScope()
        self.on_drain: Callable[[], None] = self.scope.cancel
        self.on_close: Callable[[int, str], Awaitable[None]] | None = None
        self.superseded = trio.Event()

    async def close(self, code: int, reason: str) -> None:
        if self.on_close is not None:
            await self.on_close(code, reason)
        self.scope.cancel()

    def return_to_gateway(self) -> None:
        self.is_transferred = True

    def park(self, unsent: bytes) -> None:
        self.is_transferred = True
        self.parked = unsent

    def about_to_answer(self) -> None:
        """The gateway would know."""

    def set_state_once_written(self, state: bytes) -> None:
        self.state = state

    def answer_sent(self) -> None:
        self.answered = True

    def claim(self, key: bytes) -> None:
        self.claimed = key

    def set_state(self, state: bytes) -> None:
        self.state = state

    def set_remainder(self, rest: bytes) -> None:
        self.unsent = rest


class FakeSendQueue:
    """Remembers what was written, and of which kind. It has no socket, so nobody may write past it."""

    fd = -1
    accepts_batches = False
    behind = False
    dropped = 0

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.control: list[bytes] = []

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)

    def add_batch_writer(self, targets: object) -> None:
        """It always keeps up."""

    def remove_batch_writer(self, targets: object) -> None:
        """Likewise."""

    def put(self, frame: bytes) -> int:
        self.frames.append(frame)
        return len(frame)

    def write_control(self, frame: bytes) -> bool:
        self.frames.append(frame)
        self.control.append(frame)
        return True


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection, both non-blocking: the client's and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.setblocking(False)
    server.setblocking(False)
    return client, server


class Dialogue:
    """A client on a TCP connection whose first head is taken and handed to `serve`, as the gateway would."""

    def __init__(self, serve: Callable[[FakeHandedConnection], Awaitable[None]], **handed: Any) -> None:
        client, self.server = tcp_pair()
        self.client = trio.SocketStream(trio.socket.from_stdlib_socket(client))
        self.handed: FakeHandedConnection | None = None
        self.done = trio.Event()
        self._serve = serve
        self._options = handed
        self._received = b""

    async def run(self) -> None:
        """Serve the connection, then end it as the gateway's release does, unless it was handed back."""
        head = await read_head(self.server, max_bytes=16 * 1024, timeout_s=5)
        self.handed = FakeHandedConnection(self.server, head, **self._options)
        await self._serve(self.handed)
        if not self.handed.is_transferred:
            with suppress(OSError):  # the peer was first
                self.server.shutdown(socket.SHUT_RDWR)
            self.server.close()
        self.done.set()

    async def send(self, data: bytes) -> None:
        await self.client.send_all(data)

    async def until(self, end: bytes) -> bytes:
        """What the server sends up to and with `end`."""
        while end not in self._received:
            data = await self.client.receive_some(65536)
            assert data, f"closed before {end!r}: {self._received!r}"
            self._received += data
        at = self._received.index(end) + len(end)
        found, self._received = self._received[:at], self._received[at:]
        return found

    async def response(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next response: status, headers by lower-case name, body."""
        lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        status = int(lines[0].split()[1])
        size = 0 if head_only or status in (100, 204, 304) else int(headers["content-length"])
        while len(self._received) < size:
            data = await self.client.receive_some(65536)
            assert data, "closed within a body"
            self._received += data
        body, self._received = self._received[:size], self._received[size:]
        return status, headers, body

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        pieces = [self._received]
        while data := await self.client.receive_some(65536):
            pieces.append(data)
        self._received = b""
        return b"".join(pieces)

    async def aclose(self) -> None:
        await self.client.aclose()
        self.server.close()


@asynccontextmanager
async def dialogue(serve: Callable[[FakeHandedConnection], Awaitable[None]], **handed: Any) -> AsyncIterator[Dialogue]:
    """A Dialogue that is being served."""
    talk = Dialogue(serve, **handed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk.run)
        try:
            yield talk
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await talk.aclose()
