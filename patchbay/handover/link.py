"""Links an actor to the gateway: receives connections, reports their state, and survives the gateway's death.

When the gateway dies, the actor serves its connections on; the link reconnects and deposits them with the next gateway.
The protocols spoken on the connections are not known here.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

import trio

from patchbay.handover.connection import HandedConnection
from patchbay.net.unix_packets import PacketSocket, PacketSocketClosed
from patchbay.protocol import handover

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from patchbay.process.identity import Identity

log = logging.getLogger(__name__)

RETRY_S = 0.05
FLUSH_TIMEOUT_S = 1.0
REPLACEMENT_TIMEOUT_S = 0.5  # for the next gateway to answer


class GatewayLink:
    """Links one actor process to the gateway. `serve` must be running; all other methods may be called at any time.

    Attributes:
        connections: those that are served here, by id.
        released: how many connections have ended here.
    """

    def __init__(self, path: str, identity: Identity) -> None:
        self._path = path
        self._identity = identity
        self._packets: PacketSocket | None = None
        self._welcomed = False
        self._connected = trio.Event()
        self._leaving = False
        self.connections: dict[int, HandedConnection] = {}
        self._emptied = trio.Event()
        self.released = 0

    @property
    def is_connected(self) -> bool:
        """Tell whether a gateway has answered."""
        return self._welcomed

    def send(self, message: handover.ToGateway) -> None:
        """Send a message to the gateway, if there is one. The next gateway learns the state from the deposits."""
        if self._packets is not None and self._welcomed:
            try:
                self._packets.send_nowait(handover.encode(message))
            except PacketSocketClosed:
                self._welcomed = False

    async def serve(self, handler: Callable[[HandedConnection], Awaitable[None]]) -> None:
        """Run `handler` in a task for each connection that is handed over, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                packets = await self._connect()
                try:
                    await self._serve_gateway(packets, nursery, handler)
                finally:
                    self._packets, self._welcomed = None, False
                    packets.close()
                log.info("the gateway has gone; %d connections are served without it", len(self.connections))
                await trio.sleep(RETRY_S)

    async def stop_accepting(self) -> None:
        """Ask the gateway for no more connections. A connection that arrives nevertheless is parked untouched.

        Waits up to REPLACEMENT_TIMEOUT_S for a gateway that is being replaced.
        """
        self._leaving = True
        with trio.move_on_after(REPLACEMENT_TIMEOUT_S):
            await self._wait_connected()
            self.send(handover.Leaving())
            await self._wait_connected()  # the gateway may have died without our notice

    async def wait_empty(self) -> None:
        """Wait until no connection is served here."""
        while self.connections:
            self._emptied = trio.Event()
            await self._emptied.wait()

    async def flush(self) -> None:
        """Wait until the kernel has taken all messages, up to FLUSH_TIMEOUT_S."""
        with trio.move_on_after(FLUSH_TIMEOUT_S):
            if self._packets is not None:
                await self._packets.flush()

    async def _wait_connected(self) -> None:
        while not self._welcomed:
            await self._connected.wait()

    async def _connect(self) -> PacketSocket:
        while True:
            if (sock := self._try_connect()) is not None:
                return PacketSocket(sock, max_packet_bytes=handover.MAX_PACKET_BYTES)
            await trio.sleep(RETRY_S)

    def _try_connect(self) -> socket.socket | None:
        """Connect to the gateway; None: it is not there, or this process has no descriptor left."""
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return None
        try:
            sock.setblocking(False)
            sock.connect(self._path)
        except OSError:
            sock.close()
            return None
        return sock

    async def _serve_gateway(
        self, packets: PacketSocket, nursery: trio.Nursery, handler: Callable[[HandedConnection], Awaitable[None]]
    ) -> None:
        async with trio.open_nursery() as session:
            session.start_soon(packets.write_queued)
            self._packets = packets
            identity = self._identity
            try:
                hello = handover.Hello(
                    name=identity.name, index=identity.index, generation=identity.generation, pid=os.getpid()
                )
                packets.send_nowait(handover.encode(hello))
                async for packet, fd in packets.packets():
                    self._handle(packet, fd, nursery, handler)
            except PacketSocketClosed:
                pass
            session.cancel_scope.cancel()

    def _handle(
        self,
        packet: bytes,
        fd: int | None,
        nursery: trio.Nursery,
        handler: Callable[[HandedConnection], Awaitable[None]],
    ) -> None:
        try:
            message = handover.decode_to_actor(packet)
        except handover.UNREADABLE as error:
            log.error("unreadable packet from the gateway: %s", error)
            if fd is not None:
                os.close(fd)
            return
        if isinstance(message, handover.Welcome):
            self._deposit_all()
        elif isinstance(message, handover.Supersede):
            if (connection := self.connections.get(message.id)) is not None:
                connection.superseded.set()
        elif fd is None:
            log.error("no descriptor left for connection %d", message.connection.id)
            self.send(handover.Closed(id=message.connection.id))
        else:
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            handed = HandedConnection(self.send, sock, message.connection, resumed=message.resumed)
            if self._leaving:
                handed.park(handed.unsent)
                self._release(handed)
                return
            self.connections[handed.id] = handed
            nursery.start_soon(self._run, handler, handed)

    def _deposit_all(self) -> None:
        packets = self._packets
        if packets is None:
            return
        self._welcomed = True
        self._connected.set()
        self._connected = trio.Event()
        for connection in self.connections.values():
            if not connection.is_transferred and connection.sock.fileno() >= 0:
                deposit, *others = map(handover.encode, connection.deposit())
                packets.send_nowait(deposit, connection.sock.fileno())
                for packet in others:
                    packets.send_nowait(packet)
        if self._leaving:
            self.send(handover.Leaving())

    async def _run(self, handler: Callable[[HandedConnection], Awaitable[None]], handed: HandedConnection) -> None:
        """Run the handler of one connection. An exception ends that connection only."""
        try:
            with handed.scope:
                await handler(handed)
        except Exception:
            log.exception("connection %d failed", handed.id, extra={"peer": handed.peer})
        finally:
            del self.connections[handed.id]
            self._release(handed)
            if not self.connections:
                self._emptied.set()

    def _release(self, handed: HandedConnection) -> None:
        self.released += 1
        if not handed.is_transferred:
            try:
                handed.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                log.debug("connection %d was closed by its peer", handed.id)
            self.send(handover.Closed(id=handed.id))
        if handed.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(handed.sock)
            handed.sock.close()
