"""One HTTP request on one connection: for webhooks and for asking whether the server is ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import h11
import trio

if TYPE_CHECKING:
    from collections.abc import Mapping

READ_BYTES = 16 * 1024
BODY_MAX_BYTES = 1024 * 1024


class HttpError(Exception):
    """No answer: not reachable, too slow, or not HTTP."""


@dataclass(frozen=True)
class Response:
    """An answer, read to its end."""

    status: int
    body: bytes
    location: str = ""  # where a redirect leads


async def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout_s: float = 2.0,
) -> Response:
    """Send a request and read the answer. Cancelling is safe: the connection is this call's own. Raises HttpError."""
    try:
        with trio.fail_after(timeout_s):
            async with await open_stream(url) as stream:
                return await _exchange(stream, method, url, headers or {}, body)
    except trio.TooSlowError:
        raise HttpError(f"no answer within {timeout_s:g} s") from None
    except (OSError, trio.BrokenResourceError, h11.ProtocolError) as error:
        raise HttpError(describe(error)) from error


async def open_stream(url: str) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    """Connect to the host of an http, https, ws or wss URL. Raises OSError."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme in ("https", "wss"):
        return await trio.open_ssl_over_tcp_stream(host, parts.port or 443, https_compatible=True)
    return await trio.open_tcp_stream(host, parts.port or 80)


def describe(error: BaseException) -> str:
    """The innermost cause in words: trio wraps the errors of connecting in others."""
    while error.__cause__ is not None:
        error = error.__cause__
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.lower() if text and text[:2].istitle() else text or type(error).__name__


async def _exchange(
    stream: trio.abc.Stream, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> Response:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"Host": parts.netloc.rpartition("@")[2], "Connection": "close", **headers}
    if body:
        sent["Content-Length"] = str(len(body))
    connection = h11.Connection(h11.CLIENT)
    data = connection.send(h11.Request(method=method, target=target, headers=list(sent.items())))
    if body:
        data = (data or b"") + (connection.send(h11.Data(data=body)) or b"")
    await stream.send_all((data or b"") + (connection.send(h11.EndOfMessage()) or b""))
    return await _read(stream, connection)


async def _read(stream: trio.abc.Stream, connection: h11.Connection) -> Response:
    status, body, location = 0, bytearray(), ""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(READ_BYTES)))
        elif isinstance(event, h11.Response):
            status = event.status_code
            location = dict(event.headers).get(b"location", b"").decode("latin-1")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_MAX_BYTES:
                raise HttpError(f"the answer is longer than {BODY_MAX_BYTES} bytes")
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return Response(status, bytes(body), location)
