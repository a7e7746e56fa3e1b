"""Parses HTTP request heads, and decides which actor a request is for.

Pure. The rules of HTTP are h11's (RFC 9112); the routes and how Telnyx is told from a browser are the wire
contract's. Who may in is decided elsewhere.
"""

from __future__ import annotations

import binascii
import posixpath
import re
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal
from urllib.parse import parse_qs, unquote

import h11

from patchbay.protocol.query import BadQuery, calls_of, names_of

MAX_QUERY_FIELDS = 200
MAX_HEADERS = 200
REASON_MAX_CHARS = 200  # h11 quotes what it did not like
KEY_BYTES = 16  # RFC 6455 §4.2.1
WEBSOCKET_VERSION = "13"
LISTS_OF_NAMES = ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions")
ABSOLUTE = re.compile(r"(?:https?|wss?)://[^/@]+(/.*)?", re.IGNORECASE)  # RFC 9112 §3.2.2
SLASHES = re.compile("/+")
END_OF_HEAD = b"\r\n\r\n"
# Of a head that h11 makes more of than its lines say: folded lines, headers whose values it changes, lines before the
# first, an end in the middle.
UNUSUAL = re.compile(rb"\n[ \t]|content-length|transfer-encoding|^[\r\n]|\n\r?\n.", re.IGNORECASE | re.DOTALL)

# No line of a head has them, and h11 goes back and forth in a line that does, for the square of its length.
FORBIDDEN = re.compile(rb"[\0\v\f]|\r(?!\n)")

ActorName = Literal["ingest", "fanout", "call_events", "console"]
Kind = Literal["ws", "http"]

SOCKET_PATHS = frozenset({"/audio-stream", "/frontend-audio", "/call-events"})
CALL_EVENT_PATHS = frozenset({"/calls/telnyx/webhook", "/events"})
NAMING_PATHS = SOCKET_PATHS | {"/events", "/calls"}  # on which a query may name calls
IGNORED_SEGMENTS = ("/api", "/ws")


class BadRequest(Exception):
    """The request is refused by the gateway, or before its handler is called.

    Attributes:
        status: HTTP status code; the text is the one-line body of the answer.
        sub: whose token it was, where that is known.
    """

    def __init__(self, status: int, text: str, sub: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.sub = sub


@dataclass(frozen=True)
class RequestHead:
    """Holds one parsed head. Header names are lower-case; `path` is decoded, without `/api`, `/ws` or a trailing
    slash."""

    method: str
    path: str
    raw_target: str
    query: dict[str, list[str]]
    headers: list[tuple[bytes, bytes]] = field(repr=False)  # may hold tokens: never printed
    version: str = "1.1"

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)

    def every(self, name: str) -> list[str]:
        """Return all values of a header, in order."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key == wanted]

    def literal(self, name: str) -> list[str]:
        """The values of a query parameter in which `+` is a plus, as RFC 3986 has it; in `query` it is a space, as in
        forms."""
        return _parse_query(self.raw_target.partition("?")[2].replace("+", "%2B")).get(name, [])

    @property
    def subprotocols(self) -> list[str]:
        """Return what a WebSocket client offers, in its order."""
        return [part.strip() for value in self.every("sec-websocket-protocol") for part in value.split(",")]

    @property
    def is_upgrade(self) -> bool:
        """Whether a WebSocket is asked for. nginx sends `Connection: upgrade` with everything, so both headers count.
        In HTTP/1.0 there are no upgrades (RFC 9110 §7.8)."""
        return self.method == "GET" and self.version != "1.0" and self.asks_for_upgrade

    @property
    def asks_for_upgrade(self) -> bool:
        """Return whether the headers ask for a WebSocket."""
        return "websocket" in self.listed("upgrade") and "upgrade" in self.listed("connection")

    def listed(self, name: str) -> list[str]:
        """Return the members of a header that is a list, in lower case."""
        return [part.strip().lower() for value in self.every(name) for part in value.split(",")]


@dataclass(frozen=True)
class Route:
    """Names the actor that a request is for, and whether as WebSocket or as plain HTTP."""

    actor: ActorName
    kind: Kind


def parse_head(head: bytes, connection: h11.Connection | None = None) -> RequestHead:
    """Parse a whole request head, blank line included.

    Args:
        connection: parses the head, and can read the body then. After BadRequest it can't be used any more.

    Raises:
        BadRequest: 400 for what is not HTTP, with h11's reason, 431 for too many headers, 505 for what is not HTTP/1.
    """
    if FORBIDDEN.search(head):
        raise BadRequest(400, "Bad Request: a control character, or a carriage return alone, in the head")
    if head.count(b"\n") > MAX_HEADERS + 2:
        raise BadRequest(431, f"Request Header Fields Too Large: at most {MAX_HEADERS} headers")
    if connection is None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=max(len(head), 1))
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise BadRequest(400, f"Bad Request: {error}"[:REASON_MAX_CHARS]) from error
    if not isinstance(event, h11.Request):
        raise BadRequest(400, "Bad Request: incomplete request head")
    if not event.http_version.startswith(b"1."):
        raise BadRequest(505, "HTTP Version Not Supported: this is HTTP/1")
    return _request_head(event.method, event.target, event.http_version, list(event.headers))


def parse_known_head(head: bytes) -> RequestHead:
    """The same for one that has been parsed before, by the gateway: at a third of the price, which counts for whoever
    takes over hundreds of connections at once."""
    if UNUSUAL.search(head):
        return parse_head(head)
    first, *lines = head.rstrip(b"\r\n").split(b"\n")
    method, target, version = first.split(b" ", 2)
    pairs = (line.partition(b":") for line in lines)
    version = version.strip().removeprefix(b"HTTP/")
    return _request_head(method, target, version, [(name.lower(), value.strip(b" \t\r")) for name, _, value in pairs])


def _request_head(method: bytes, raw_target: bytes, version: bytes, headers: list[tuple[bytes, bytes]]) -> RequestHead:
    target = raw_target.decode("latin-1")
    path, query = _split(target)
    return RequestHead(
        method=method.decode("ascii"),
        path=normalise_path(_decoded(path)),
        raw_target=target,
        query=_parse_query(query),
        headers=headers,
        version=version.decode("ascii"),
    )


def _split(target: str) -> tuple[str, str]:
    """Split a request target into path and query (RFC 9112 §3.2). It is no URL reference: `//host` in it is a path."""
    path, _, query = target.partition("?")
    if "#" in target:
        raise BadRequest(400, "Bad Request: the request target has a fragment (#)")
    if path.startswith("/") or path == "*":
        return path, query
    absolute = ABSOLUTE.fullmatch(path)
    if absolute is None:
        raise BadRequest(400, "Bad Request: the request target must begin with /")
    return absolute[1] or "/", query


def _decoded(path: str) -> str:
    """Decode a path. An encoded slash is a part of a name (RFC 3986 §2.2), which no path here has."""
    if "%2f" in path.lower():
        raise BadRequest(404, "Not Found: no path here has an encoded slash (%2F)")
    return unquote(path)


def _parse_query(query: str) -> dict[str, list[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as error:
        raise BadRequest(400, f"Bad Request: the query has more than {MAX_QUERY_FIELDS} parameters") from error


def normalise_path(path: str) -> str:
    """Drop one leading `/api` or `/ws` segment and one trailing slash."""
    for segment in IGNORED_SEGMENTS:
        if path == segment or path.startswith(f"{segment}/"):
            path = path[len(segment) :]
            break
    return path if path.endswith("//") else path.removesuffix("/") or "/"


def route(head: RequestHead) -> Route:
    """Decide which actor a request is for.

    Raises:
        BadRequest: 400 for a WebSocket without a proper handshake, and for a query that names a call in a way that is
            not understood; 404 for a WebSocket on a path that has none, and for a path that is nearly one; 426 for a
            WebSocket's path without an upgrade, or one to another version.
    """
    target = _target(head)
    if target.actor != "ingest" and head.path in NAMING_PATHS:
        try:
            names_of(head.query)
        except BadQuery as error:
            raise BadRequest(400, f"Bad Request: {error}") from error
    return target


def _target(head: RequestHead) -> Route:
    if head.path in SOCKET_PATHS:
        _check_handshake(head)
        return Route(_socket_actor(head), "ws")
    if (meant := _intended_path(head.path)) is not None:
        raise BadRequest(404, f"Not Found: write the path as {meant}, exactly so")
    if head.is_upgrade:
        raise BadRequest(404, "Not Found: no WebSocket here; /audio-stream and /call-events have one")
    if head.path in CALL_EVENT_PATHS:
        return Route("call_events", "http")
    return Route("console", "http")


def _check_handshake(head: RequestHead) -> None:
    """Check the opening handshake (RFC 6455 §4.2.1): a connection with half of one would be sent audio."""
    if not head.is_upgrade and head.version == "1.0" and head.asks_for_upgrade:
        raise BadRequest(426, "Upgrade Required: WebSocket needs HTTP/1.1 (in nginx: proxy_http_version 1.1)")
    if not head.is_upgrade:
        raise BadRequest(426, "Upgrade Required: this path speaks WebSocket")
    if head.listed("sec-websocket-version") != [WEBSOCKET_VERSION]:
        raise BadRequest(426, f"Upgrade Required: Sec-WebSocket-Version must be {WEBSOCKET_VERSION}")
    keys = head.every("sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise BadRequest(400, f"Bad Request: Sec-WebSocket-Key must be {KEY_BYTES} bytes in base64, once")
    if not all(value.isascii() for name in LISTS_OF_NAMES for value in head.every(name)):
        raise BadRequest(400, f"Bad Request: {' and '.join(LISTS_OF_NAMES)} are lists of names in ASCII")
    if head.header("transfer-encoding") is not None or (head.header("content-length") or "0") != "0":
        raise BadRequest(400, "Bad Request: the opening of a WebSocket has no body")


def _intended_path(path: str) -> str | None:
    """Return the path that is meant by one that is nearly it: in another case, with slashes or segments too many."""
    segments = posixpath.normpath(SLASHES.sub("/", path.partition(";")[0].lower())).split("/")[1:]
    ignored = takewhile(lambda segment: f"/{segment}" in IGNORED_SEGMENTS, segments[:-1])
    bare = "/" + "/".join(segments[sum(1 for _ in ignored) :])
    return bare if bare != path and bare in SOCKET_PATHS | CALL_EVENT_PATHS else None


def is_telnyx(head: RequestHead) -> bool:
    """Return whether a peer on /audio-stream claims to be Telnyx. The claim alone admits nobody."""
    return (
        head.header("x-telnyx-streaming-auth-token") is not None
        or "telnyx" in head.query.get("role", ())
        or "telnyx" in (head.header("user-agent") or "").lower()
        or head.header("x-telnyx-signature") is not None
    )


def _is_key(value: str) -> bool:
    try:
        return len(binascii.a2b_base64(value.strip(), strict_mode=True)) == KEY_BYTES
    except ValueError:
        return False


def _socket_actor(head: RequestHead) -> ActorName:
    if head.path == "/call-events":
        return "call_events"
    if head.path == "/audio-stream" and is_telnyx(head):
        return "ingest"
    return "fanout"


def call_ids(head: RequestHead) -> list[str]:
    """Return the calls that a request names; none, where `route` would refuse its query."""
    try:
        return list(calls_of(head.query))
    except BadQuery:
        return []
