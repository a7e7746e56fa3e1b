"""The public port: accepts connections, reads their heads, and turns away those that are for nobody.

What is let in goes to `Switchboard.admit`. Nothing here knows which processes there are.
"""

from __future__ import annotations

import errno
import logging
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from actors.gateway import sign_in
from actors.gateway.tls import carry, shake_hands
from actors.runtime.heads import HeadTimeout, HeadTooLarge, PeerGone, read_head
from actors.runtime.nothing import nothing
from actors.wire.answers import answer, html_answer
from actors.wire.request import BadRequest, RequestHead, Route, parse_head, route

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.gateway.tls import Certificate
    from config.settings import GatewaySettings

log = logging.getLogger(__name__)

ACCEPT_PAUSE_S = 0.1  # when descriptors or memory have run out: connections wait in the listening queue
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
LINGER_S = 1.0
LINGER_BYTES = 4 * 1024 * 1024


@dataclass
class DoorCounters:
    """What has come to the door."""

    accepted: int = 0
    turned_away: int = 0
    vanished: int = 0  # closed by the peer before there was a head
    without_tls: int = 0  # closed since they did not open TLS, where it is needed
    too_many: int = 0  # closed before their heads were there, for others to be heard


class Door:
    """Serves the listening socket.

    Args:
        admit: takes a connection whose head has been read; it owns the socket from then on, unless it raises
            BadRequest, which is answered here.
        certificate: for TLS; None: there is none, or a proxy does it.
        refused: told of each request that is answered here: the peer, the head, and why.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        admit: Callable[[socket.socket, str, bytes, RequestHead, Route], None],
        certificate: Certificate | None = None,
        refused: Callable[[str, RequestHead | None, BadRequest], None] = nothing,
    ) -> None:
        self._settings = settings
        self._admit = admit
        self._refused = refused
        self._certificate = certificate
        self.counters = DoorCounters()
        self.max_heads = settings.max_heads
        self._waiting: dict[
            socket.socket, trio.CancelScope
        ] = {}  # connections whose heads are being read, oldest first
        self._emptied = trio.Event()

    async def accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        """Accept for ever; each connection's head is read in a task of the nursery."""
        listener.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    log.warning("not accepting for a moment: %s", error)
                    await trio.sleep(ACCEPT_PAUSE_S)
                continue
            self.counters.accepted += 1
            if self.at_the_door >= self.max_heads:
                self._end_longest()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            nursery.start_soon(self._open, sock, f"{address[0]}:{address[1]}")

    async def until_empty(self) -> None:
        """Wait until no head is being read."""
        while self.at_the_door:
            self._emptied = trio.Event()
            await self._emptied.wait()

    @property
    def at_the_door(self) -> int:
        """How many connections are being received, or turned away."""
        return len(self._waiting)

    async def _open(self, sock: socket.socket, peer: str) -> None:
        """Begin to serve a new connection; one with TLS stays in this task as long as it lasts."""
        if self._certificate is None:
            await self.receive(sock, peer)
            return
        stream = None
        context, timeout_s = self._certificate.context(trio.current_time()), self._settings.head_timeout_s
        with trio.CancelScope() as self._waiting[sock]:
            try:
                stream = await shake_hands(sock, context, timeout_s)
            finally:
                self._leave(sock)
        if stream is None:
            self.counters.without_tls += 1
        else:
            await carry(stream, partial(self.receive, peer=peer))

    async def receive(self, sock: socket.socket, peer: str) -> None:
        """Read one head, and admit the connection or answer it."""
        with trio.CancelScope() as self._waiting[sock]:
            await self._receive(sock, peer)

    def _leave(self, sock: socket.socket) -> None:
        self._waiting.pop(sock, None)
        if not self._waiting:
            self._emptied.set()

    def _end_longest(self) -> None:
        """Whoever means well sends its head in one go: the one that has been here the longest does not."""
        sock, scope = next(iter(self._waiting.items()))
        del self._waiting[sock]
        scope.cancel()
        self.counters.too_many += 1

    async def _receive(self, sock: socket.socket, peer: str) -> None:
        """The outermost boundary of a connection at the door."""
        parsed: RequestHead | None = None
        try:
            head = await read_head(
                sock, max_bytes=self._settings.head_max_bytes, timeout_s=self._settings.head_timeout_s
            )
            parsed = parse_head(head)
            self._admit(sock, peer, head, parsed, route(parsed))
        except BadRequest as refusal:
            self._refused(peer, parsed, refusal)
            await self.turn_away(sock, refusal.status, str(refusal), sign_in.page(parsed, refusal.status))
        except HeadTooLarge:
            limit = self._settings.head_max_bytes
            await self.turn_away(sock, 431, f"Request Header Fields Too Large: at most {limit} bytes")
        except HeadTimeout as late:
            if late.seen:
                await self.turn_away(
                    sock, 408, f"Request Timeout: no complete request head in {self._settings.head_timeout_s:g} s"
                )
            else:
                await self.turn_away(sock, 408, "Request Timeout: no request")
        except PeerGone:
            self.counters.vanished += 1
            _close(sock)
        except trio.Cancelled:
            _close(sock)
            raise
        except Exception:
            log.exception("connection from %s failed at the door", peer)
            _close(sock)
        finally:
            self._leave(sock)

    async def turn_away(self, sock: socket.socket, status: int, text: str, page: bytes | None = None) -> None:
        """Answer, with a line of text or a page, and close. What the peer is still sending is read for a moment, or the
        reset that follows unread bytes would destroy the answer on its way."""
        self.counters.turned_away += 1
        try:
            sock.send(answer(status, text) if page is None else html_answer(status, page, sign_in.HEADERS))
            sock.shutdown(socket.SHUT_WR)
            with trio.move_on_after(LINGER_S):
                await _discard(sock, LINGER_BYTES)
        except OSError:
            log.debug("a peer that was turned away (%d) did not wait for it", status)
        finally:
            _close(sock)


async def _discard(sock: socket.socket, limit: int) -> None:
    while limit > 0:
        await trio.lowlevel.wait_readable(sock)
        try:
            piece = sock.recv(65536)
        except BlockingIOError:
            continue
        if not piece:
            return
        limit -= len(piece)


def _close(sock: socket.socket) -> None:
    if sock.fileno() >= 0:
        trio.lowlevel.notify_closing(sock)
        sock.close()
