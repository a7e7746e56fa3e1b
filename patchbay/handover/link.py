"""An actor's side of the gateway: takes the connections it is handed, keeps the gateway informed, survives its loss.

When the gateway dies, the connections here go on; the link calls again and deposits them with the next one. Knows
nothing of what is spoken on a connection.
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
REPLACED_S = 0.5  # for the next gateway to answer


class GatewayLink:
    """The link of one actor process. `run` serves it; the rest may be called at any time."""

    def __init__(self, path: str, identity: Identity) -> None:
        self._path = path
        self._identity = identity
        self._packets: PacketSocket | None = None
        self._welcomed = False
        self._came = trio.Event()
        self._leaving = False
        self.connections: dict[int, HandedConnection] = {}
        self._emptied = trio.Event()
        self.failed = 0  # handlers that raised
        self.released = 0  # connections that were here

    @property
    def present(self) -> bool:
        """Whether there is a gateway that has answered."""
        return self._welcomed

    def tell(self, message: handover.ToGateway) -> None:
        """Send to the gateway, if there is one; the next one learns everything from the deposits."""
        if self._packets is not None and self._welcomed:
            try:
                self._packets.send_nowait(handover.encode(message))
            except PacketSocketClosed:
                self._welcomed = False

    async def serve(self, handler: Callable[[HandedConnection], Awaitable[None]]) -> None:
        """Run `handler` for every connection handed over, each in a task, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                packets = await self._connect()
                try:
                    await self._converse(packets, nursery, handler)
                finally:
                    self._packets, self._welcomed = None, False
                    packets.close()
                log.info("gateway gone; %d connections go on without it", len(self.connections))
                await trio.sleep(RETRY_S)

    async def leave(self) -> None:
        """Ask for no more connections. One that is on its way to us all the same goes back untouched.

        A gateway that is being replaced just now is waited for, a little.
        """
        self._leaving = True
        with trio.move_on_after(REPLACED_S):
            await self._until_present()
            self.tell(handover.Leaving())
            await self._until_present()  # one that had gone without our having noticed has a successor

    async def until_empty(self) -> None:
        """Wait until no connection is left here."""
        while self.connections:
            self._emptied = trio.Event()
            await self._emptied.wait()

    async def flush(self) -> None:
        """Wait (bounded) until the kernel has all that was told."""
        with trio.move_on_after(FLUSH_TIMEOUT_S):
            if self._packets is not None:
                await self._packets.flush()

    async def _until_present(self) -> None:
        while not self._welcomed:
            await self._came.wait()

    async def _connect(self) -> PacketSocket:
        while True:
            if (sock := self._call()) is not None:
                return PacketSocket(sock, max_packet_bytes=handover.MAX_PACKET_BYTES)
            await trio.sleep(RETRY_S)

    def _call(self) -> socket.socket | None:
        """Call the gateway; None: it is not there, or there is no descriptor to call it with."""
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

    async def _converse(
        self, packets: PacketSocket, nursery: trio.Nursery, handler: Callable[[HandedConnection], Awaitable[None]]
    ) -> None:
        async with trio.open_nursery() as conversation:
            conversation.start_soon(packets.write_queued)
            self._packets = packets
            who = self._identity
            try:
                hello = handover.Hello(name=who.name, index=who.index, generation=who.generation, pid=os.getpid())
                packets.send_nowait(handover.encode(hello))
                async for packet, fd in packets.packets():
                    self._handle(packet, fd, nursery, handler)
            except PacketSocketClosed:
                pass
            conversation.cancel_scope.cancel()

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
            self.tell(handover.Closed(id=message.connection.id))
        else:
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            handed = HandedConnection(self.tell, sock, message.connection, resumed=message.resumed)
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
        self._came.set()
        self._came = trio.Event()
        for connection in self.connections.values():
            if not connection.given_away and connection.sock.fileno() >= 0:
                deposit, *rest = map(handover.encode, connection.deposit())
                packets.send_nowait(deposit, connection.sock.fileno())
                for packet in rest:
                    packets.send_nowait(packet)
        if self._leaving:
            self.tell(handover.Leaving())

    async def _run(self, handler: Callable[[HandedConnection], Awaitable[None]], handed: HandedConnection) -> None:
        """The outermost boundary of one connection: whatever goes wrong in it ends here."""
        try:
            with handed.scope:
                await handler(handed)
        except Exception:
            self.failed += 1
            log.exception("connection %d failed", handed.id, extra={"peer": handed.peer})
        finally:
            del self.connections[handed.id]
            self._release(handed)
            if not self.connections:
                self._emptied.set()

    def _release(self, handed: HandedConnection) -> None:
        self.released += 1
        if not handed.given_away:
            try:
                handed.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                log.debug("connection %d was closed by its peer", handed.id)
            self.tell(handover.Closed(id=handed.id))
        if handed.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(handed.sock)
            handed.sock.close()
