"""The plainest HTTP client there is, so that tests see what is really answered."""

from __future__ import annotations

import trio


async def exchange(port: int, request: bytes, *, timeout_s: float = 60.0) -> bytes:
    """Send bytes, return all that comes back until the server closes."""
    with trio.fail_after(timeout_s):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        answer = b""
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(_send, stream, request)
            async for piece in stream:
                answer += piece
            nursery.cancel_scope.cancel()
        return answer


async def _send(stream: trio.SocketStream, request: bytes) -> None:
    try:
        await stream.send_all(request)
    except trio.BrokenResourceError:
        return  # the server has answered before it had everything


def status_of(answer: bytes) -> int:
    """The status of an HTTP answer."""
    top, blank, _ = answer.partition(b"\r\n\r\n")
    if not blank:
        raise ConnectionError(f"no answer, but {answer!r}")
    return int(top.split(b" ", 2)[1])


async def fetch(
    port: int, path: str, *, method: str = "GET", headers: str = "", body: bytes = b""
) -> tuple[int, bytes]:
    """One request on a connection of its own; returns (status, body)."""
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}{headers}\r\n"
    answer = await exchange(port, head.encode() + body)
    return status_of(answer), answer.partition(b"\r\n\r\n")[2]
