"""Accepts the links of actor processes, and carries the packets of the hand-over protocol both ways."""

from __future__ import annotations

import logging
import os
import socket
import struct
from typing import TYPE_CHECKING, Protocol

import trio

from actors.gateway.table import Link
from patchbay.net.unix_packets import PacketSocket, PacketSocketClosed
from patchbay.protocol import handover

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

ACCEPT_PAUSE_S = 0.1  # when descriptors or memory have run out: links wait in the listen queue
HELLO_TIMEOUT_S = 5.0
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class LinkHandler(Protocol):
    """Acts on the messages of links; `actors.gateway.router.Router` does."""

    def joined(self, link: Link) -> None:
        """Act on a new process."""

    def handle(self, link: Link, message: handover.ToGateway, fd: int | None) -> None:
        """Act on a message of a process. The handler owns the descriptor."""

    def left(self, link: Link) -> None:
        """Act on the end of a process."""


class Links:
    """Holds the links of this gateway."""

    def __init__(self, handler: LinkHandler) -> None:
        self._handler = handler
        self._packets: dict[int, PacketSocket] = {}  # by id() of the link

    def send(self, link: Link, packet: bytes, fd: int | None = None) -> bool:
        """Send a packet, with a descriptor, which stays the caller's. False: the process has gone, or is about to."""
        packets = self._packets.get(id(link))
        if packets is None:
            return False
        try:
            packets.send_nowait(packet, fd)
        except PacketSocketClosed:
            return False  # the task of this link is about to notice, and then the handler is told
        return True

    async def serve(self, sock: socket.socket) -> None:
        """Exchange packets with one actor process until it goes. Owns the socket.

        Cancelling, when this gateway stops, tells the handler nothing: connections stay with the actor that serves
        them.
        """
        packets = PacketSocket(sock, max_packet_bytes=handover.MAX_PACKET_BYTES)
        link: Link | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(packets.write_queued)
                with trio.move_on_after(HELLO_TIMEOUT_S) as hello_scope:
                    async for packet, fd in packets.packets():
                        hello_scope.deadline = float("inf")
                        link = self._receive(link, packets, packet, fd)
                nursery.cancel_scope.cancel()
        finally:
            packets.close()
        if link is not None:
            del self._packets[id(link)]
            self._handler.left(link)

    def _receive(self, link: Link | None, packets: PacketSocket, packet: bytes, fd: int | None) -> Link | None:
        """Act on one packet; returns the link, which the first hello makes."""
        message = _decode(packet)
        if message is not None and link is not None and not isinstance(message, handover.Hello):
            self._handler.handle(link, message, fd)
            return link
        if fd is not None:
            os.close(fd)
        if link is None and isinstance(message, handover.Hello):
            link = Link(message.name, message.index, message.generation, message.pid)
            self._packets[id(link)] = packets
            self.send(link, handover.encode(handover.Welcome()))
            self._handler.joined(link)
        return link


async def accept_links(
    listener: socket.socket, serve: Callable[[socket.socket], Awaitable[None]], nursery: trio.Nursery
) -> None:
    """Accept actors of our own user, for ever; `serve` runs in the nursery and owns the socket."""
    while True:
        await trio.lowlevel.wait_readable(listener)
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            continue
        except OSError as error:
            log.warning("no actor can connect for a moment: %s", error)
            await trio.sleep(ACCEPT_PAUSE_S)
            continue
        user = _user_of(sock)
        if user != os.getuid():
            log.error("a process of another user (%s) connected as an actor; its connection is closed", user)
            sock.close()
            continue
        nursery.start_soon(serve, sock)


def _user_of(sock: socket.socket) -> int | None:
    """Return the user whose process is at the other end of a Unix socket, as the kernel says (unix(7), SO_PEERCRED)."""
    try:
        _, user, _ = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    except OSError:
        return None
    return int(user)


def _decode(packet: bytes) -> handover.ToGateway | None:
    try:
        message: handover.ToGateway = handover.decode_to_gateway(packet)
    except handover.UNREADABLE as error:
        log.error("unreadable packet from an actor: %s", error)
        return None
    return message
