"""Receives the body of one request, of a told length or in chunks, so that no body keeps others waiting for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
import trio

from patchbay.http.chunked import ChunkedBody, MalformedBody, TooMuchFraming
from patchbay.http.head import BadRequest
from patchbay.net.fair_semaphore import FairSemaphore

if TYPE_CHECKING:
    from patchbay.http.head import RequestHead
    from patchbay.http.in_flight import InFlight, Item

READ_BYTES = 64 * 1024
STEPS_AT_ONCE = 32  # chunks that are decoded when bytes have come; …
STEPS_A_TURN = 500  # … for more, bodies take turns, of about a millisecond


class BodyReader:
    """Reads the bodies of one server.

    Args:
        bodies: where the bytes count that are held.
        max_bytes: of one body.
    """

    def __init__(self, bodies: InFlight, max_bytes: int) -> None:
        self._bodies = bodies
        self._max_bytes = max_bytes
        self._turns = FairSemaphore()

    async def read(
        self, connection: h11.Connection, head: RequestHead, stream: trio.SocketStream, held: Item, host: str
    ) -> bytes:
        """Return the whole body. When `held` has to go for others, its task is cancelled.

        Args:
            connection: has parsed the head.
            host: whose body it is; bodies of one host wait for each other.

        Raises:
            BadRequest: 400 for one that is malformed or ends early, 413 for one that is too large.
        """
        try:
            if head.header("transfer-encoding") is not None:
                return await self._chunks(stream, held, host)
            return await self._counted(connection, int(head.header("content-length") or 0), stream, held)
        except TooMuchFraming as error:
            raise BadRequest(413, "Content Too Large: the chunks are so small that they are mostly framing") from error
        except (h11.RemoteProtocolError, MalformedBody) as error:
            raise BadRequest(400, "Bad Request: malformed or incomplete body") from error

    async def _counted(self, connection: h11.Connection, length: int, stream: trio.SocketStream, held: Item) -> bytes:
        """Receive a body whose length the head has told, and not a byte of the next request."""
        body = bytearray()
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += event.data
            else:
                connection.receive_data(await self._receive(stream, min(READ_BYTES, length - len(body)), held))
        return bytes(body)

    async def _chunks(self, stream: trio.SocketStream, held: Item, host: str) -> bytes:
        """Receive a body in chunks, and maybe what follows it. Those who send many chunks take turns."""
        body = ChunkedBody()
        while True:
            has_more = body.decode(STEPS_AT_ONCE)
            while has_more and body.announced_bytes <= self._max_bytes:
                async with self._turns.turn(host):
                    has_more = body.decode(STEPS_A_TURN)
                    await trio.lowlevel.checkpoint()
            if body.announced_bytes > self._max_bytes:
                raise too_large(self._max_bytes)
            if body.is_complete:
                return bytes(body.content)
            data = await self._receive(stream, READ_BYTES, held)
            if not data:
                raise MalformedBody("it ends early")
            body.feed(data)

    async def _receive(self, stream: trio.SocketStream, count: int, held: Item) -> bytes:
        data = bytes(await stream.receive_some(count))
        if not self._bodies.grow(held, len(data)):
            await trio.lowlevel.checkpoint()  # it is cancelled
        return data


def too_large(max_bytes: int) -> BadRequest:
    """Return the refusal of a body that is too long."""
    return BadRequest(413, f"Content Too Large: at most {max_bytes} bytes")
