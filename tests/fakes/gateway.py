"""A gateway link without a gateway: the test hands connections over, and an actor's `run` serves them."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import trio

from config import load
from patchbay.http.head_reader import PeerGone, read_head
from patchbay.process.context import Context
from patchbay.process.identity import Identity
from tests.fakes.bus import FakeBus
from tests.fakes.connections import FakeHandedConnection, tcp_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from patchbay.bus.sockets import Bus
    from patchbay.handover.link import GatewayLink


class FakeGateway:
    """Has what `patchbay.handover.link.GatewayLink` has. `connect` makes a client, and the actor gets the other end."""

    def __init__(self) -> None:
        self.connections: dict[int, FakeHandedConnection] = {}
        self.is_connected = True
        self._handed, self._out = trio.open_memory_channel[FakeHandedConnection](100)
        self._last_id = 0
        self._changed = trio.Event()
        self._streams: list[trio.SocketStream] = []

    def connect(self, **about: Any) -> trio.SocketStream:
        """A client's stream. Its first head is read and routed to the actor when it has sent one."""
        client, server = tcp_pair()
        self._last_id += 1
        handed = FakeHandedConnection(server, b"", **about)
        handed.id = self._last_id
        self._handed.send_nowait(handed)
        self._streams.append(trio.SocketStream(trio.socket.from_stdlib_socket(client)))
        return self._streams[-1]

    def close(self) -> None:
        """Close every client that is still there."""
        for stream in self._streams:
            stream.socket.close()

    async def serve(self, handler: Callable[[FakeHandedConnection], Awaitable[None]]) -> None:
        async with trio.open_nursery() as nursery:
            async for handed in self._out:
                nursery.start_soon(self._run, handler, handed)

    async def stop_accepting(self) -> None:
        """As the real one."""

    async def wait_empty(self) -> None:
        while self.connections:
            await self._changed.wait()

    async def flush(self) -> None:
        """As the real one."""

    async def _run(
        self, handler: Callable[[FakeHandedConnection], Awaitable[None]], handed: FakeHandedConnection
    ) -> None:
        try:
            with handed.scope:
                handed.head = handed.head or await read_head(handed.sock, max_bytes=16384, timeout_s=60)
                self.connections[handed.id] = handed
                await handler(handed)
        except PeerGone:
            return  # the test made a client that says nothing
        finally:
            self.connections.pop(handed.id, None)
            self._changed.set()
            self._changed = trio.Event()
            with suppress(OSError):
                handed.sock.shutdown(socket.SHUT_RDWR)
            handed.sock.close()


class FakeProcess:
    """What an actor's `run` is given, all of it fake but the settings."""

    def __init__(self, name: str, **environ: str) -> None:
        self.bus = FakeBus()
        self.gateway = FakeGateway()
        settings = load({"PATCHBAY_RUN_DIR": "/nonexistent", **environ})
        self.context = Context(
            settings=settings,
            identity=Identity(name, epoch=1_700_000_000_000_000_000),
            bus=cast("Bus", self.bus),
            gateway=cast("GatewayLink", self.gateway),
        )


@asynccontextmanager
async def serving(run: Callable[[Context], Awaitable[None]], name: str, **environ: str) -> AsyncIterator[FakeProcess]:
    """An actor's `run`, ready to be spoken to."""
    process = FakeProcess(name, **environ)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, process.context)
            await process.context.is_ready.wait()
            yield process
            nursery.cancel_scope.cancel()
            process.gateway.close()
