"""Serves HTTP/1.1 on a connection that the gateway handed over: framing by h11, one request after the other.

Never takes a byte from the socket that belongs to the next request, because the next request may be another actor's:
its head is looked at first and, when it is, the connection goes back to the gateway with that head unread.
"""

from __future__ import annotations

import email.utils
import logging
from collections import Counter
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import h11
import trio

from patchbay.http.answers import STRICT_TRANSPORT
from patchbay.http.body import READ_BYTES, BodyReader, too_large
from patchbay.http.head import BadRequest
from patchbay.http.head_reader import HeadTimeout, HeadTooLarge, PeerGone, peek_head, take
from patchbay.http.in_flight import InFlight
from patchbay.http.local_request import why_remote
from patchbay.http.message import Request, Response
from patchbay.http.received_head import ReceivedHead, receive_head
from patchbay.net.addresses import host_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from patchbay.http.head import RequestHead
    from patchbay.http.in_flight import Item
    from patchbay.http.routes import Handler

logger = logging.getLogger(__name__)

LARGE_ANSWER_BYTES = 64 * 1024  # what the kernel takes of most answers
REASON_CHARS = 200  # h11 quotes what it did not like
LINGER_S = 2.0  # how long a client gets to read the last answer while it is still sending
LINGER_BYTES = 2 * 1024 * 1024


class Connection(Protocol):
    """Describes the connection that `serve` is given. Its maker shuts it down and releases it."""

    head: bytes
    peer: str
    claims: dict[str, Any] | None
    sock: socket.socket
    on_drain: Callable[[], None]

    def return_to_gateway(self) -> None:
        """Give the connection back to the gateway: the next request, not yet read, is another actor's."""


@dataclass(frozen=True)
class Limits:
    """Bounds what a client may make us hold and wait for."""

    body_max_bytes: int
    bodies_max_bytes: int = 8 * 1024 * 1024  # of all requests at once
    answers_max_bytes: int = 64 * 1024 * 1024  # large ones that are not read yet
    head_max_bytes: int = 16 * 1024
    head_timeout_s: float = 5.0
    body_timeout_s: float = 10.0
    write_timeout_s: float = 10.0
    keep_alive_s: float = 15.0
    is_tls: bool = False  # the public port speaks TLS itself


class HttpServer:
    """Serves connections with one handler.

    Args:
        handler: gets a whole request and returns a whole response. What it raises is answered 500, logged and counted.
        actor: whose requests these are; those of others go back to the gateway.
        counters: where to count, when somebody else reads them too.

    Attributes:
        counters: `requests`, `responses_4xx` and so on, `handler_errors`, `closed_by_peer`, `timeouts`, `handed_back`,
            `bodies_ended` and `answers_ended` (their peers took the longest, when there was no more room).
    """

    def __init__(self, handler: Handler, *, actor: str, limits: Limits, counters: Counter[str] | None = None) -> None:
        self.handler = handler
        self.actor = actor
        self.limits = limits
        self.counters: Counter[str] = Counter() if counters is None else counters
        self.bodies = InFlight(limits.bodies_max_bytes)
        self.answers = InFlight(limits.answers_max_bytes)
        self.bodies_reader = BodyReader(self.bodies, limits.body_max_bytes)

    async def serve(self, handed: Connection) -> None:
        """Serve a connection until it is closed, idle for too long, broken or handed back. Raises nothing of the
        peer's.

        When the process is to stop, the request at work is answered; then the connection goes back to the gateway.
        Cancelling is safe: the request at work gets no answer.
        """
        try:
            await _Session(self, handed).run()
        except (PeerGone, trio.BrokenResourceError, trio.ClosedResourceError):
            self.counters["closed_by_peer"] += 1


class _Session:
    """Serves the requests on one connection."""

    def __init__(self, server: HttpServer, handed: Connection) -> None:
        self._server = server
        self._limits = server.limits
        self._counters = server.counters
        self._handed = handed
        self._sock = handed.sock
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(handed.sock))
        self._draining = trio.Event()
        handed.on_drain = self._draining.set

    async def run(self) -> None:
        received: ReceivedHead | None = receive_head(self._handed.head, self._limits.head_max_bytes)
        while received is not None:
            if not await self._exchange(received):
                await self._linger()
                return
            received = await self._next_request()

    async def _exchange(self, received: ReceivedHead) -> bool:
        """Answer one request. Returns whether the connection may carry another one."""
        self._counters["requests"] += 1
        connection, head = received.connection, received.parsed
        scope = trio.CancelScope()
        held = self._server.bodies.begin(scope.cancel)
        try:
            if received.refusal is not None:
                raise received.refusal
            body = await self._body(connection, head, held, scope)
            self._server.bodies.settle(held)
        except BadRequest as refusal:
            retry = {"retry_after": "1"} if refusal.status == 503 else {}
            response, close = Response.text(str(refusal)[:REASON_CHARS], refusal.status, **retry), True
        else:
            # Where a chunked body ends shows only once it, and maybe more, has been taken from the socket.
            is_chunked = head.header("transfer-encoding") is not None
            response, failed = await self._handle(head, body)
            close = failed or is_chunked
            if "token" in head.query:  # the address holds a secret: whatever it answers is kept nowhere
                response = replace(response, headers={**response.headers, "cache-control": "no-store"})
        finally:
            self._server.bodies.finish(held)
        return await self._answer(connection, response, close=close, is_silent=head.method == "HEAD")

    async def _handle(self, head: RequestHead, body: bytes) -> tuple[Response, bool]:
        handed = self._handed
        request = Request(head.method, head.path, head.query, head.headers, body, handed.peer, handed.claims)
        try:
            return await self._server.handler(request), False
        except Exception:
            logger.exception("no answer to %s %s", request.method, request.path, extra={"peer": request.peer})
            self._counters["handler_errors"] += 1
            return Response.text("Internal Server Error", 500), True

    async def _body(self, connection: h11.Connection, head: RequestHead, held: Item, scope: trio.CancelScope) -> bytes:
        if int(head.header("content-length") or 0) > self._limits.body_max_bytes:
            raise too_large(self._limits.body_max_bytes)
        if connection.they_are_waiting_for_100_continue:
            await self._send(
                connection.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            )
        scope.deadline = trio.current_time() + self._limits.body_timeout_s
        with scope:
            reader = self._server.bodies_reader
            return await reader.read(connection, head, self._stream, held, host_of(self._handed.peer))
        if held.was_ended:
            self._counters["bodies_ended"] += 1
            raise BadRequest(503, "Service Unavailable: too many requests are being received; send the body in one go")
        self._counters["timeouts"] += 1
        raise BadRequest(408, "Request Timeout: the body was not complete in time")

    async def _answer(self, connection: h11.Connection, response: Response, *, close: bool, is_silent: bool) -> bool:
        """Send a response; whether the connection may carry another request."""
        headers = [*response.header_lines(), ("date", email.utils.formatdate(usegmt=True))]
        if self._limits.is_tls:
            headers.append(STRICT_TRANSPORT)
        if close:
            headers.append(("connection", "close"))
        reason = HTTPStatus(response.status).phrase.encode()
        data = connection.send(h11.Response(status_code=response.status, headers=headers, reason=reason))
        if not is_silent:
            data += connection.send(h11.Data(data=response.body))
        data += connection.send(h11.EndOfMessage())
        self._counters[f"responses_{response.status // 100}xx"] += 1
        await self._send(data)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _send(self, data: bytes) -> None:
        scope, answers = trio.CancelScope(), self._server.answers
        scope.deadline = trio.current_time() + self._limits.write_timeout_s
        held = answers.begin(scope.cancel) if len(data) > LARGE_ANSWER_BYTES else None
        try:
            with scope:
                if held is None or answers.grow(held, len(data)):
                    await self._stream.send_all(data)
                    return
        finally:
            if held is not None:
                answers.finish(held)
        self._counters["answers_ended" if held is not None and held.was_ended else "timeouts"] += 1
        raise trio.BrokenResourceError("the peer does not read its answer")

    async def _next_request(self) -> ReceivedHead | None:
        """Take the next head that is ours; None when the connection has no more for us, and nothing was taken then."""
        if not await self._wait_for_bytes():
            if self._draining.is_set():
                self._hand_back()
            return None
        limits = self._limits
        try:
            head = await peek_head(self._sock, max_bytes=limits.head_max_bytes, timeout_s=limits.head_timeout_s)
            if (received := self._ours(head)) is not None:
                take(self._sock, len(head))
                return received
            self._hand_back()
        except HeadTooLarge:
            await self._refuse(431, "Request Header Fields Too Large")
        except HeadTimeout:
            self._counters["timeouts"] += 1
            await self._refuse(408, "Request Timeout: the head was not complete in time")
        return None

    async def _wait_for_bytes(self) -> bool:
        """Wait for the next request's first bytes; False when there are none in time, or the process is to stop."""
        arrived = False
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + self._limits.keep_alive_s

            async def drained() -> None:
                await self._draining.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(drained)
            await trio.lowlevel.wait_readable(self._sock)
            arrived = not self._draining.is_set()
            nursery.cancel_scope.cancel()
        return arrived

    def _ours(self, head: bytes) -> ReceivedHead | None:
        """Parse the next head; None: the gateway must decide about this request."""
        if self._handed.claims is not None:
            return None  # they are of one request: a proxy may send another client's request next
        received = receive_head(head, self._limits.head_max_bytes)
        if received.target is None:
            return received  # refused: any actor may answer
        if received.parsed.header("origin") is not None or why_remote(received.parsed) is not None:
            return None  # a request that is not allowed may follow an allowed one on a proxy's connection
        is_for_us = received.target.kind == "http" and received.target.actor == self._server.actor
        return received if is_for_us else None

    def _hand_back(self) -> None:
        self._counters["handed_back"] += 1
        self._handed.return_to_gateway()

    async def _refuse(self, status: int, reason: str) -> None:
        await self._answer(h11.Connection(h11.SERVER), Response.text(reason, status), close=True, is_silent=False)
        await self._linger()

    async def _linger(self) -> None:
        """End our side, then read what the client still sends: closing at once would reset it before it has read."""
        with trio.move_on_after(LINGER_S):
            await self._stream.send_eof()
            left = LINGER_BYTES
            while left > 0 and (data := await self._stream.receive_some(READ_BYTES)):
                left -= len(data)
