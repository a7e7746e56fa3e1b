"""Writes HTTP answers to connections that will not be served: one line of text, or a page, then the end. Pure."""

from __future__ import annotations

from http import HTTPStatus

SAFE = "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
STRICT_TRANSPORT = ("strict-transport-security", "max-age=31536000")  # RFC 6797; only where we speak TLS ourselves
EXTRA = {
    401: "WWW-Authenticate: Bearer\r\n",
    426: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    429: "Retry-After: 5\r\n",
    503: "Retry-After: 1\r\n",
}


def answer(status: int, text: str, *, is_tls: bool = False) -> bytes:
    """Return a whole HTTP/1.1 response that closes the connection. `is_tls`: it goes over TLS of our own."""
    return _answer(status, "text/plain", f"{text}\n".encode(), "", is_tls=is_tls)


def html_answer(status: int, page: bytes, headers: str, *, is_tls: bool = False) -> bytes:
    """Return such a response with a page; `headers` are whole lines."""
    return _answer(status, "text/html", page, headers, is_tls=is_tls)


def _answer(status: int, content_type: str, body: bytes, headers: str, *, is_tls: bool) -> bytes:
    strict = f"{': '.join(STRICT_TRANSPORT)}\r\n" if is_tls else ""
    connection = "Upgrade, close" if status == 426 else "close"
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {content_type}; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{EXTRA.get(status, '')}{SAFE}{strict}{headers}"
        f"Connection: {connection}\r\n\r\n"
    ).encode() + body
