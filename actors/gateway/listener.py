"""Accepts connections at the public port, reads their heads, and refuses those that are for no actor.

Admitted connections go to `Router.admit`. Knows nothing of actor processes.
"""

from __future__ import annotations

import logging
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from actors.gateway import sign_in
from actors.gateway.head_queue import HeadQueue
from actors.gateway.tls import OUT_OF_RESOURCES, TlsRelay, handshake
from patchbay.http.answers import answer, html_answer
from patchbay.http.head import BadRequest, RequestHead, Route, parse_head, route
from patchbay.http.head_reader import HeadTimeout, HeadTooLarge, PeerGone, read_head
from patchbay.net.addresses import host_of
from patchbay.net.fair_semaphore import FairSemaphore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.gateway.tls import Certificate
    from config.settings import GatewaySettings

log = logging.getLogger(__name__)

ACCEPT_PAUSE_S = 0.1  # when descriptors or memory have run out: connections wait in the listener queue
HEADS_AT_ONCE = 8  # that are parsed before others in this process have their turn: about 2 ms
LINGER_S = 1.0
LINGER_BYTES = 4 * 1024 * 1024


@dataclass
class ListenerCounters:
    """Counts what becomes of connections. The names of the fields are those of metrics."""

    accepted: int = 0
    turned_away: int = 0
    vanished: int = 0  # closed by the peer before there was a head
    without_tls: int = 0  # closed since they did not open TLS, where it is needed
    too_many: int = 0  # closed before their heads were there, for others to be heard
    too_many_tls: int = 0  # closed at once: so many with TLS are there, those that are closing too
    failed: int = 0  # a fault of ours, or of this machine


class Listener:
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
        refused: Callable[[str, RequestHead | None, BadRequest], None] = lambda peer, head, error: None,
    ) -> None:
        self._settings = settings
        self._admit = admit
        self._refused = refused
        self._certificate = certificate
        self.counters = ListenerCounters()
        self.max_heads = settings.max_heads
        self.tls = TlsRelay()
        self._waiting = HeadQueue[socket.socket]()  # connections whose heads are being read, or that are turned away
        self._parsing = FairSemaphore(HEADS_AT_ONCE)
        self._emptied = trio.Event()

    async def accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        """Accept connections for ever. Each head is read in a task of the nursery."""
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
            sock.setblocking(False)
            with suppress(OSError):  # it has gone already
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            nursery.start_soon(self._open, sock, f"{address[0]}:{address[1]}")

    async def until_empty(self) -> None:
        """Wait until no head is being read."""
        while self.pending:
            self._emptied = trio.Event()
            await self._emptied.wait()

    @property
    def pending(self) -> int:
        """Return how many connections are being received, or refused."""
        return len(self._waiting)

    async def _open(self, sock: socket.socket, peer: str) -> None:
        """Begin to serve a new connection; one with TLS stays in this task as long as it lasts."""
        if self._certificate is None:
            await self.receive(sock, peer)
            return
        if self.tls.count >= self._settings.max_connections + self._settings.max_streams:
            self.counters.too_many_tls += 1
            _close(sock)
            return
        try:
            stream = await self._handshake(sock, peer, self._certificate)
            if stream is None:
                self.counters.without_tls += 1
            else:
                await self.tls.relay(stream, partial(self.receive, peer=peer))
        except Exception:
            log.exception("a connection failed with its TLS", extra={"peer": peer})
            self.counters.failed += 1
            _close(sock)

    async def _handshake(
        self, sock: socket.socket, peer: str, certificate: Certificate
    ) -> trio.SSLStream[trio.SocketStream] | None:
        context = certificate.context(trio.current_time())
        with self._counted(sock, peer):
            return await handshake(sock, context, self._settings.head_timeout_s)
        return None

    async def receive(self, sock: socket.socket, peer: str) -> None:
        """Read one head, and admit the connection or answer it."""
        with self._counted(sock, peer):
            await self._receive(sock, peer)

    @contextmanager
    def _counted(self, sock: socket.socket, peer: str) -> Iterator[None]:
        """Count a connection meanwhile. When one too many has come, the one that has been here the longest goes:
        whoever means well sends its head in one go."""
        host = host_of(peer)
        if len(self._waiting) >= self.max_heads:
            self._waiting.pop_longest(host, self.max_heads).cancel()
            self.counters.too_many += 1
        with trio.CancelScope() as scope:
            self._waiting.add(sock, host, scope)
            try:
                yield
            finally:
                self._waiting.remove(sock)
                if not self._waiting:
                    self._emptied.set()

    async def _receive(self, sock: socket.socket, peer: str) -> None:
        """Read a head and admit the connection: the outermost boundary of its errors."""
        parsed: RequestHead | None = None
        try:
            head = await read_head(
                sock, max_bytes=self._settings.head_max_bytes, timeout_s=self._settings.head_timeout_s
            )
            async with self._parsing.turn(host_of(peer)):
                parsed = parse_head(head)
                self._admit(sock, peer, head, parsed, route(parsed))
                await trio.lowlevel.cancel_shielded_checkpoint()  # others have their turn
        except BadRequest as refusal:
            self._refused(peer, parsed, refusal)
            await self.refuse(sock, refusal.status, str(refusal), sign_in.page(parsed, refusal.status))
        except HeadTooLarge:
            limit = self._settings.head_max_bytes
            await self.refuse(sock, 431, f"Request Header Fields Too Large: at most {limit} bytes")
        except HeadTimeout as late:
            if late.seen:
                await self.refuse(
                    sock, 408, f"Request Timeout: no complete request head in {self._settings.head_timeout_s:g} s"
                )
            else:
                await self.refuse(sock, 408, "Request Timeout: no request")
        except PeerGone:
            self.counters.vanished += 1
            _close(sock)
        except trio.Cancelled:
            _close(sock)
            raise
        except Exception:
            log.exception("a connection failed at the listener", extra={"peer": peer})
            self.counters.failed += 1
            _close(sock)

    async def refuse(self, sock: socket.socket, status: int, text: str, page: bytes | None = None) -> None:
        """Answer, with a line of text or a page, and close. What the peer is still sending is read for a moment, or the
        reset that follows unread bytes would destroy the answer on its way."""
        self.counters.turned_away += 1
        try:
            is_tls = self._certificate is not None
            if page is None:
                sock.send(answer(status, text, is_tls=is_tls))
            else:
                sock.send(html_answer(status, page, sign_in.HEADERS, is_tls=is_tls))
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
