"""The gateway's process: the door, the switchboard, and how it ends.

When it stops, connections that wait for an actor go to the next gateway; those that are served stay with their
actors, which deposit them there.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

import trio

from actors.gateway.door import Door
from actors.gateway.switchboard import Switchboard, describe
from actors.runtime.packets import PacketSocket
from actors.wire import handoff
from config.paths import unix_path

if TYPE_CHECKING:
    from actors.runtime.context import Context
    from actors.wire.request import RequestHead, Route

log = logging.getLogger(__name__)

HEADS_TIMEOUT_S = 0.5  # for heads that are half there when we are to stop
FLUSH_TIMEOUT_S = 0.5


async def run(context: Context) -> None:
    """Serve the public port until asked to stop."""
    public = socket.socket(fileno=os.dup(context.identity.fds["public"]))
    links = socket.socket(fileno=os.dup(context.identity.fds["handoff"]))
    links.setblocking(False)
    async with trio.open_nursery() as nursery:
        gateway = Gateway(context, nursery)
        async with trio.open_nursery() as accepting:
            accepting.start_soon(gateway.door.accept, public, nursery)
            accepting.start_soon(gateway.accept_links, links)
            accepting.start_soon(gateway.switchboard.watch_overdue)
            context.ready()
            await context.draining.wait()
            accepting.cancel_scope.cancel()
        with trio.move_on_after(HEADS_TIMEOUT_S):
            await gateway.door.until_empty()
        await gateway.pass_on_waiting()
        nursery.cancel_scope.cancel()


class Gateway:
    """The door and the switchboard, joined."""

    def __init__(self, context: Context, nursery: trio.Nursery) -> None:
        self._context = context
        self._nursery = nursery
        self.switchboard = Switchboard(context.settings.gateway, self._turn_away, self._receive_again)
        self.door = Door(context.settings.gateway, self._admit)

    async def accept_links(self, listener: socket.socket) -> None:
        """Accept actors, for ever."""
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, _ = listener.accept()
            except OSError:
                continue
            self._nursery.start_soon(self.switchboard.serve_link, sock)

    async def pass_on_waiting(self) -> None:
        """Give what waits for an actor to the next gateway, if there is one."""
        waiting = list(self.switchboard.table.waiting())
        if not waiting:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(unix_path(self._context.settings.run_dir, "gateway.sock"))
        except OSError:
            sock.close()
            return
        packets = PacketSocket(sock, max_packet_bytes=handoff.MAX_PACKET_BYTES)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(packets.write_queued)
            who = self._context.identity
            hello = handoff.Hello(name="gateway", index=who.index, generation=who.generation, pid=os.getpid())
            with trio.move_on_after(FLUSH_TIMEOUT_S):
                packets.send_nowait(handoff.encode(hello))
                for held in waiting:
                    deposit = handoff.Deposit(connection=describe(held), fresh=held.fresh)
                    packets.send_nowait(handoff.encode(deposit), held.sock.fileno())
                await packets.flush()
            nursery.cancel_scope.cancel()
        packets.close()

    def _admit(self, sock: socket.socket, peer: str, head: bytes, parsed: RequestHead, target: Route) -> None:
        self.switchboard.admit(sock, peer, head, parsed, target)

    def _turn_away(self, sock: socket.socket, status: int, text: str) -> None:
        self._nursery.start_soon(self.door.turn_away, sock, status, text)

    def _receive_again(self, sock: socket.socket, peer: str) -> None:
        self._nursery.start_soon(self.door.receive, sock, peer)
