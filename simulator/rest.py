"""The part of Telnyx's REST API that Patchbay uses: `GET /v2/webhook_deliveries`."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import h11
import orjson
import trio

if TYPE_CHECKING:
    from simulator.deliveries import DeliveryBook

logger = logging.getLogger(__name__)

PATH = "/v2/webhook_deliveries"
READ_BYTES = 64 * 1024
TIMEOUT_S = 30.0


async def serve_api(
    book: DeliveryBook,
    *,
    port: int,
    api_key: str | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on loopback for ever; says which port it has. Without an API key everybody is let in."""
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(partial(_converse, book, api_key), listeners)


async def _converse(book: DeliveryBook, api_key: str | None, stream: trio.SocketStream) -> None:
    connection = h11.Connection(h11.SERVER)
    try:
        with trio.move_on_after(TIMEOUT_S):
            while (head := await _request(stream, connection)) is not None:
                await _send(stream, connection, *_answer(book, api_key, head))
                connection.start_next_cycle()
    except (trio.BrokenResourceError, h11.ProtocolError) as error:
        logger.debug("a client of the API has gone: %s", error)
    await trio.aclose_forcefully(stream)


async def _request(stream: trio.SocketStream, connection: h11.Connection) -> h11.Request | None:
    head: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(READ_BYTES)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.EndOfMessage):
            return head
        elif isinstance(event, h11.ConnectionClosed):
            return None


def _answer(book: DeliveryBook, api_key: str | None, head: h11.Request) -> tuple[int, Any]:
    """A status and what goes with it as JSON."""
    parts = urlsplit(head.target.decode("latin-1"))
    authorization = dict(head.headers).get(b"authorization", b"").decode("latin-1")
    if api_key is not None and authorization != f"Bearer {api_key}":
        return 401, _error("10009", "Authentication failed")
    if head.method != b"GET" or parts.path != PATH:
        return 404, _error("10005", "Resource not found")
    return 200, book.page(dict(parse_qsl(parts.query)))


def _error(code: str, title: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "title": title}]}


async def _send(stream: trio.SocketStream, connection: h11.Connection, status: int, value: Any) -> None:
    body = orjson.dumps(value)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    data = connection.send(h11.Response(status_code=status, headers=headers)) or b""
    data += connection.send(h11.Data(data=body)) or b""
    await stream.send_all(data + (connection.send(h11.EndOfMessage()) or b""))
