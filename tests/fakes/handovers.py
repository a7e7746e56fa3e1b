"""A gateway's router without a door: the test admits connections, and actors' links call in over a real socket."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from actors.gateway.admission import Admitted
from actors.gateway.router import Router
from config import load
from patchbay.handover.link import GatewayLink
from patchbay.http.head import parse_head, route
from patchbay.process.identity import Identity
from tests.fakes.connections import tcp_pair
from tests.fakes.websockets import upgrade_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from patchbay.handover.connection import HandedConnection

INGEST = upgrade_head("/audio-stream?role=telnyx")


class Exchange:
    """One generation of a gateway on a listening socket that outlives it."""

    def __init__(self, listener: socket.socket, **environ: str) -> None:
        self.turned_away: list[tuple[int, str]] = []
        self.handed_back: list[str] = []
        self.router = Router(
            load({"PATCHBAY_RUN_DIR": "/nonexistent", **environ}).gateway,
            self._refuse,
            self._take_back,
            lambda peer, actor, claims: (),
        )
        self._listener = listener
        self.scope = trio.CancelScope()

    async def run(self) -> None:
        with self.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.router.watch_overdue)
                while True:
                    await trio.lowlevel.wait_readable(self._listener)
                    sock, _ = self._listener.accept()
                    nursery.start_soon(self.router.links.serve, sock)

    def connect(self, head: bytes = INGEST, pair: tuple[socket.socket, socket.socket] | None = None) -> socket.socket:
        """A client whose head has been read. `pair`: its two ends."""
        client, server = pair or tcp_pair()
        parsed = parse_head(head)
        admission = Admitted("192.0.2.7:1", None, {"connections": 10_000})
        self.router.admit(server, head, parsed, route(parsed), admission)
        return client

    def die(self) -> None:
        """As with SIGKILL: the kernel closes what this process had; nobody is told anything else."""
        self.scope.cancel()
        for held in self.router.table.held.values():
            held.sock.close()
        self.router.table.held.clear()

    def _refuse(self, sock: socket.socket, status: int, text: str) -> None:
        self.turned_away.append((status, text))
        sock.close()

    def _take_back(self, sock: socket.socket, peer: str) -> None:
        self.handed_back.append(peer)
        sock.close()


class Town:
    """A run directory with a gateway's socket in it, and the actors that call there."""

    def __init__(self, run_dir: Path, nursery: trio.Nursery) -> None:
        self.path = str(run_dir / "gateway.sock")
        self.nursery = nursery
        self._exchanges: list[Exchange] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(128)
        self.listener.setblocking(False)

    def exchange(self, **environ: str) -> Exchange:
        made = Exchange(self.listener, **environ)
        self._exchanges.append(made)
        self.nursery.start_soon(made.run)
        return made

    def close(self) -> None:
        for exchange in self._exchanges:
            exchange.die()
        self.listener.close()

    async def actor(
        self, handler: Callable[[HandedConnection], Awaitable[None]], name: str = "ingest", *, generation: int = 1
    ) -> tuple[GatewayLink, trio.CancelScope]:
        """An actor's link, welcomed; cancelling the scope is the death of its process, as far as the link goes."""
        link = GatewayLink(self.path, Identity(name, 0, generation))
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await link.serve(handler)

        self.nursery.start_soon(run)
        await until(lambda: link.is_connected)
        return link, scope


async def until(true: Callable[[], object]) -> None:
    """Wait for what another task, or the kernel, is about to do."""
    with trio.fail_after(20):
        while not true():  # noqa: ASYNC110 - not everything that is waited for is an event of ours
            await trio.sleep(0.001)


@asynccontextmanager
async def town(run_dir: Path, timeout_s: float = 30.0) -> AsyncIterator[Town]:
    made = None
    try:
        with trio.fail_after(timeout_s):
            async with trio.open_nursery() as nursery:
                made = Town(run_dir, nursery)
                yield made
                nursery.cancel_scope.cancel()
    finally:
        if made is not None:
            made.close()
