"""Parses the head of a request once in a process: for its handler, for its route, and for h11, which reads the body.
Pure."""

from __future__ import annotations

from dataclasses import dataclass

import h11

from patchbay.http.head import BadRequest, RequestHead, Route, parse_head, route

UNREADABLE = RequestHead("", "", "", {}, [])  # stands for a head that can't be read


@dataclass(frozen=True)
class ReceivedHead:
    """Holds a request head that an HTTP server has received.

    Attributes:
        connection: h11's state, behind the head; a fresh one where the head can't be read.
        target: the actor that the request is for; None: the request is refused.
        refusal: why the request is refused.
    """

    connection: h11.Connection
    parsed: RequestHead
    target: Route | None
    refusal: BadRequest | None = None


def receive_head(head: bytes, max_bytes: int) -> ReceivedHead:
    """Parse a head. `max_bytes`: what h11 holds of what is not complete."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=max_bytes)
    try:
        parsed = parse_head(head, connection)
        _check_framing(head, parsed)
    except BadRequest as refusal:
        return ReceivedHead(h11.Connection(h11.SERVER), UNREADABLE, None, refusal)
    try:
        return ReceivedHead(connection, parsed, route(parsed))
    except BadRequest as refusal:
        return ReceivedHead(connection, parsed, None, refusal)


def _check_framing(head: bytes, parsed: RequestHead) -> None:
    """Refuse a head that two parsers could frame differently: that is how requests are smuggled (RFC 9112 §11.2)."""
    chunked = parsed.header("transfer-encoding") is not None
    if head.count(b"\n") != head.count(b"\r\n"):
        raise BadRequest(400, "Bad Request: a line ends without a carriage return")
    if chunked and parsed.header("content-length") is not None:
        raise BadRequest(400, "Bad Request: both Content-Length and Transfer-Encoding")
    if chunked and b" HTTP/1.0\r\n" in head:
        raise BadRequest(400, "Bad Request: Transfer-Encoding needs HTTP/1.1")
