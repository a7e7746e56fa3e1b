"""An actor's side of the gateway: takes the connections it is handed, keeps the gateway informed, survives its loss.

When the gateway dies, the connections here go on; the link calls again and deposits them with the next one. Knows
nothing of what is spoken on a connection.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Literal

import trio

from actors.runtime.packets import PacketSocket, PacketSocketClosed
from actors.wire import handoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from actors.runtime.identity import Identity

log = logging.getLogger(__name__)

RETRY_S = 0.05
FLUSH_TIMEOUT_S = 1.0


class Handed:
    """A connection that this actor serves.

    The socket is non-blocking and ours to use; when the handler returns, the link shuts it down, closes it and has the
    gateway release its copy, unless the connection was parked or handed back.

    Attributes:
        id: grows with time and is unique over restarts; the name of this connection everywhere.
        resumed: a predecessor has served it; the peer has had its answer to the head.
        note: what the predecessor left.
        unsent: output that must be written before anything else: a predecessor's, later the rest of a frame of ours.
    """

    def __init__(self, link: GatewayLink, sock: socket.socket, about: handoff.Connection, *, resumed: bool) -> None:
        self._link = link
        self.sock = sock
        self.id = about.id
        self.kind: Literal["ws", "http"] = about.kind
        self.head = about.head
        self.peer = about.peer
        self.claims: dict[str, Any] | None = about.claims
        self.resumed = resumed
        self.note = about.note
        self.unsent = about.unsent
        self.answered = resumed
        self.given_away = False
        self.superseded = trio.Event()
        self.scope = trio.CancelScope()
        self.on_drain: Callable[[], None] = self._leave_as_it_is  # called when this process is to stop
        self._claimed: bytes | None = None
        self.on_end: Callable[[int, str], Awaitable[None]] | None = None  # how to say goodbye (close code, reason)

    def set_note(self, note: bytes) -> None:
        """Have the gateway keep this for a successor, at most `gateway.note_max_bytes`; a longer one than any gateway
        takes is not even sent, and the one before stays."""
        if len(note) > handoff.MAX_NOTE_BYTES:
            log.warning("connection %d: a note of %d bytes is too long", self.id, len(note))
        elif note != self.note:
            self.note = note
            self._link.tell(handoff.Note(id=self.id, note=note))

    def set_rest(self, rest: bytes) -> None:
        """Have the gateway know what is left of a frame that was written in part. It is told at once: a packet that
        the kernel has survives this process."""
        kept = rest if len(rest) <= handoff.MAX_UNSENT_BYTES else None
        self.unsent = kept or b""
        self._link.tell(handoff.Rest(id=self.id, rest=kept))

    def answer_sent(self) -> None:
        """The peer has its answer to the head: who comes after us must not give it another."""
        self.answered = True
        self._link.tell(handoff.Answered(id=self.id))

    def renew(self, claims: dict[str, Any]) -> None:
        """The peer has shown a newer token, and it has been verified: it is for as long as that says now."""
        self.claims = claims
        self._link.tell(handoff.Renewed(id=self.id, claims=claims))

    def claim(self, key: bytes) -> None:
        """Say that this connection alone stands for `key`; whichever did before is superseded."""
        self._claimed = key
        self._link.tell(handoff.Claim(id=self.id, key=key))

    def hand_back(self) -> None:
        """Give an HTTP connection back: its next request, still unread, is another actor's."""
        self.given_away = True
        self._link.tell(handoff.HandBack(id=self.id))

    def park(self, unsent: bytes) -> None:
        """Give the connection back for a successor to go on with, with output that is still to be sent."""
        self.given_away = True
        self._link.tell(handoff.Park(id=self.id, note=self.note, unsent=unsent))

    async def end(self, code: int, reason: str) -> None:
        """End the connection, with a word where its protocol has one."""
        if self.on_end is not None:
            await self.on_end(code, reason)
        self.scope.cancel()

    def _leave_as_it_is(self) -> None:
        """Nothing has been read of it yet: a successor can begin where we are."""
        if self.kind == "ws":
            self.park(self.unsent)
        self.scope.cancel()

    def about(self) -> handoff.Connection:
        """What a gateway needs to know to keep this connection."""
        return handoff.Connection(
            id=self.id,
            kind=self.kind,
            head=self.head,
            peer=self.peer,
            note=self.note,
            unsent=self.unsent,
            claims=self.claims,
        )

    def deposit(self) -> list[handoff.ToGateway]:
        """All that a new gateway is told of this connection; the descriptor goes with the first."""
        told: list[handoff.ToGateway] = [handoff.Deposit(connection=self.about(), fresh=not self.answered)]
        if self._claimed is not None:
            told.append(handoff.Claim(id=self.id, key=self._claimed))
        return told


class GatewayLink:
    """The link of one actor process. `run` serves it; the rest may be called at any time."""

    def __init__(self, path: str, identity: Identity) -> None:
        self._path = path
        self._identity = identity
        self._packets: PacketSocket | None = None
        self._welcomed = False
        self._leaving = False
        self.connections: dict[int, Handed] = {}
        self._emptied = trio.Event()
        self.failed = 0  # handlers that raised
        self.released = 0  # connections that were here

    @property
    def present(self) -> bool:
        """Whether there is a gateway that has answered."""
        return self._welcomed

    def tell(self, message: handoff.ToGateway) -> None:
        """Send to the gateway, if there is one; the next one learns everything from the deposits."""
        if self._packets is not None and self._welcomed:
            try:
                self._packets.send_nowait(handoff.encode(message))
            except PacketSocketClosed:
                self._welcomed = False

    async def serve(self, handler: Callable[[Handed], Awaitable[None]]) -> None:
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
        """Ask for no more connections. One that is on its way to us all the same goes back untouched."""
        self._leaving = True
        self.tell(handoff.Leaving())

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

    async def _connect(self) -> PacketSocket:
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.setblocking(False)
            try:
                sock.connect(self._path)
            except (BlockingIOError, OSError):
                sock.close()
                await trio.sleep(RETRY_S)
                continue
            return PacketSocket(sock, max_packet_bytes=handoff.MAX_PACKET_BYTES)

    async def _converse(
        self, packets: PacketSocket, nursery: trio.Nursery, handler: Callable[[Handed], Awaitable[None]]
    ) -> None:
        async with trio.open_nursery() as conversation:
            conversation.start_soon(packets.write_queued)
            self._packets = packets
            who = self._identity
            try:
                hello = handoff.Hello(name=who.name, index=who.index, generation=who.generation, pid=os.getpid())
                packets.send_nowait(handoff.encode(hello))
                async for packet, fd in packets.packets():
                    self._handle(packet, fd, nursery, handler)
            except PacketSocketClosed:
                pass
            conversation.cancel_scope.cancel()

    def _handle(
        self, packet: bytes, fd: int | None, nursery: trio.Nursery, handler: Callable[[Handed], Awaitable[None]]
    ) -> None:
        try:
            message = handoff.decode_to_actor(packet)
        except handoff.UNREADABLE as error:
            log.error("unreadable packet from the gateway: %s", error)
            if fd is not None:
                os.close(fd)
            return
        if isinstance(message, handoff.Welcome):
            self._deposit_all()
        elif isinstance(message, handoff.Supersede):
            if (connection := self.connections.get(message.id)) is not None:
                connection.superseded.set()
        elif fd is None:
            log.error("no descriptor left for connection %d", message.connection.id)
            self.tell(handoff.Closed(id=message.connection.id))
        else:
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            handed = Handed(self, sock, message.connection, resumed=message.resumed)
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
        for connection in self.connections.values():
            if not connection.given_away and connection.sock.fileno() >= 0:
                deposit, *rest = map(handoff.encode, connection.deposit())
                packets.send_nowait(deposit, connection.sock.fileno())
                for packet in rest:
                    packets.send_nowait(packet)
        if self._leaving:
            self.tell(handoff.Leaving())

    async def _run(self, handler: Callable[[Handed], Awaitable[None]], handed: Handed) -> None:
        """The outermost boundary of one connection: whatever goes wrong in it ends here."""
        try:
            with handed.scope:
                await handler(handed)
        except Exception:
            self.failed += 1
            log.exception("connection %d from %s failed", handed.id, handed.peer)
        finally:
            del self.connections[handed.id]
            self._release(handed)
            if not self.connections:
                self._emptied.set()

    def _release(self, handed: Handed) -> None:
        self.released += 1
        if not handed.given_away:
            try:
                handed.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                log.debug("connection %d was closed by its peer", handed.id)
            self.tell(handoff.Closed(id=handed.id))
        if handed.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(handed.sock)
            handed.sock.close()
