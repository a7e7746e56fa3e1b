"""HTTP request heads: parsing one, and which actor it is for.

Pure. The rules of HTTP are h11's (RFC 9112); the routes and how Telnyx is told from a browser are the wire
contract's. Who may in is decided elsewhere.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

import h11

MAX_QUERY_FIELDS = 200
MAX_HEADERS = 200
KEY_BYTES = 16  # RFC 6455 §4.2.1
END_OF_HEAD = b"\r\n\r\n"
# Of a head that h11 makes more of than its lines say: folded lines, headers whose values it changes, lines before the first,
# an end in the middle.
SELDOM = re.compile(rb"\n[ \t]|content-length|transfer-encoding|^[\r\n]|\n\r?\n.", re.IGNORECASE | re.DOTALL)

ActorName = Literal["ingest", "fanout", "call_events", "console"]
Kind = Literal["ws", "http"]

SOCKET_PATHS = frozenset({"/audio-stream", "/frontend-audio", "/call-events"})
CALL_EVENT_PATHS = frozenset({"/calls/telnyx/webhook", "/events"})
IGNORED_SEGMENTS = ("/api", "/ws")


class BadRequest(Exception):
    """A head that gets an answer instead of an actor.

    Attributes:
        status: HTTP status code; the text is the one-line body of the answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class RequestHead:
    """One parsed head. Header names are lower-case; `path` is decoded, without `/api`, `/ws` or a trailing slash."""

    method: str
    path: str
    raw_target: str
    query: dict[str, list[str]]
    headers: list[tuple[bytes, bytes]] = field(repr=False)  # may hold tokens: never printed

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)

    def every(self, name: str) -> list[str]:
        """All values of a header, in order."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key == wanted]

    def first(self, *names: str) -> str | None:
        """The first non-empty value among query parameters of these names."""
        return next((value for name in names for value in self.query.get(name, ()) if value), None)

    @property
    def subprotocols(self) -> list[str]:
        """What a WebSocket client offers, in its order."""
        return [part.strip() for value in self.every("sec-websocket-protocol") for part in value.split(",")]

    @property
    def is_upgrade(self) -> bool:
        """Whether a WebSocket is asked for. nginx sends `Connection: upgrade` with everything, so both headers count."""
        return (
            self.method == "GET"
            and self._has_token("upgrade", "websocket")
            and self._has_token("connection", "upgrade")
        )

    def _has_token(self, name: str, token: str) -> bool:
        return any(part.strip().lower() == token for value in self.every(name) for part in value.split(","))


@dataclass(frozen=True)
class Route:
    """Which actor a request is for, and whether as WebSocket or as plain HTTP."""

    actor: ActorName
    kind: Kind


def parse_head(head: bytes) -> RequestHead:
    """Parse a whole request head, blank line included.

    Raises:
        BadRequest: 400 for what is not HTTP, with h11's reason, 431 for too many headers, 505 for what is not HTTP/1.
    """
    if head.count(b"\n") > MAX_HEADERS + 2:
        raise BadRequest(431, f"Request Header Fields Too Large: at most {MAX_HEADERS} headers")
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=max(len(head), 1))
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise BadRequest(400, f"Bad Request: {error}") from error
    if not isinstance(event, h11.Request):
        raise BadRequest(400, "Bad Request: incomplete request head")
    if not event.http_version.startswith(b"1."):
        raise BadRequest(505, "HTTP Version Not Supported: this is HTTP/1")
    return _made_of(event.method, event.target, list(event.headers))


def parse_known_head(head: bytes) -> RequestHead:
    """The same for one that has been parsed before, by the gateway: at a third of the price, which counts for whoever
    takes over hundreds of connections at once."""
    if SELDOM.search(head):
        return parse_head(head)
    first, *lines = head.rstrip(b"\r\n").split(b"\n")
    method, target, _ = first.split(b" ", 2)
    pairs = (line.partition(b":") for line in lines)
    return _made_of(method, target, [(name.lower(), value.strip(b" \t\r")) for name, _, value in pairs])


def _made_of(method: bytes, raw_target: bytes, headers: list[tuple[bytes, bytes]]) -> RequestHead:
    target = raw_target.decode("latin-1")
    try:
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as error:
        raise BadRequest(400, "Bad Request: unreadable request target") from error
    return RequestHead(
        method=method.decode("ascii"),
        path=normalise_path(unquote(parts.path)),
        raw_target=target,
        query=query,
        headers=headers,
    )


def normalise_path(path: str) -> str:
    """Drop one leading `/api` or `/ws` segment and a trailing slash."""
    for segment in IGNORED_SEGMENTS:
        if path == segment or path.startswith(f"{segment}/"):
            path = path[len(segment) :]
            break
    return path.rstrip("/") or "/"


def route(head: RequestHead) -> Route:
    """Decide which actor a request is for.

    Raises:
        BadRequest: 400 for a WebSocket without a proper key, 404 for one on a path that has none, 426 for a WebSocket's
            path without an upgrade.
    """
    if head.path in SOCKET_PATHS:
        if not head.is_upgrade:
            raise BadRequest(426, "Upgrade Required: this path speaks WebSocket")
        if not _is_key(head.header("sec-websocket-key")):
            raise BadRequest(400, f"Bad Request: Sec-WebSocket-Key must be {KEY_BYTES} bytes in base64")
        return Route(_socket_actor(head), "ws")
    if head.is_upgrade:
        raise BadRequest(404, "Not Found: no WebSocket here; /audio-stream and /call-events have one")
    if head.path in CALL_EVENT_PATHS:
        return Route("call_events", "http")
    return Route("console", "http")


def is_telnyx(head: RequestHead) -> bool:
    """Whether a peer on /audio-stream claims to be Telnyx. A claim only: it lets nobody in."""
    return (
        head.header("x-telnyx-streaming-auth-token") is not None
        or "telnyx" in head.query.get("role", ())
        or "telnyx" in (head.header("user-agent") or "").lower()
        or head.header("x-telnyx-signature") is not None
    )


def _is_key(value: str | None) -> bool:
    try:
        return value is not None and len(binascii.a2b_base64(value.strip(), strict_mode=True)) == KEY_BYTES
    except ValueError:
        return False


def _socket_actor(head: RequestHead) -> ActorName:
    if head.path == "/call-events":
        return "call_events"
    if head.path == "/audio-stream" and is_telnyx(head):
        return "ingest"
    return "fanout"


def call_ids(head: RequestHead) -> list[str]:
    """The calls that a request names, by any of the parameter's names."""
    names = ("call_control_id", "call_id", "callId")
    return [value for name in names for value in head.query.get(name, ()) if value]
