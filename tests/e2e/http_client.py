"""The plainest HTTP client there is, so that tests see what is really answered."""

from __future__ import annotations

import trio


async def exchange(port: int, request: bytes, *, timeout_s: float = 15.0) -> bytes:
    """Send bytes, return all that comes back until the server closes."""
    with trio.fail_after(timeout_s):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(request)
            answer = b""
            async for piece in stream:
                answer += piece
            return answer


async def fetch(port: int, path: str, *, method: str = "GET", headers: str = "", body: bytes = b"") -> tuple[int, bytes]:
    """One request on a connection of its own; returns (status, body)."""
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}{headers}\r\n"
    answer = await exchange(port, head.encode() + body)
    top, _, rest = answer.partition(b"\r\n\r\n")
    if not top:
        raise ConnectionError("no answer")
    return int(top.split(b" ", 2)[1]), rest
