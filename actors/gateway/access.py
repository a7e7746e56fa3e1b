"""Who may in (contract, section 5): decided from the request's head alone, before any upgrade.

Pure: the time is an argument. Grants claims, which travel with the connection, or refuses with a status and a reason
that holds no part of a token. What claims are good for later is the actors' to see to.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final, Literal

from actors.gateway.addresses import is_in, networks_of
from actors.wire import v1
from actors.wire.request import BadRequest, call_ids
from actors.wire.tokens import (
    REFUSED,
    BadToken,
    Expired,
    Verifier,
    covers,
    granted_calls,
    may,
    token_of_subprotocols,
)
from actors.wire.websocket import CLOSE_BAD_TOKEN, CLOSE_EXPIRED, CLOSE_NOT_ALLOWED

if TYPE_CHECKING:
    from actors.gateway.addresses import Address
    from actors.wire.request import RequestHead, Route
    from config.settings import Settings

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})  # for probes; they tell nothing of calls
WEBHOOK_PATH: Final = "/calls/telnyx/webhook"  # its signature is checked where its body is read
COOKIE: Final = "patchbay_token"
STREAM_TOKEN_HEADER: Final = "x-telnyx-streaming-auth-token"
TELNYX: Final[dict[str, Any]] = {"sub": "telnyx", "calls": "*", "can": ["stream"]}
BY_SIGNATURE: Final[dict[str, Any]] = {"sub": "", "calls": [], "can": []}

Right = Literal["stream", "listen", "events", "admin"]


class Refused(BadRequest):
    """401: no token, or a bad one. 403: a good one, but not for this; or not from there."""


class RefusedExpired(Refused):
    """401: a good one, but for its age."""


class Access:
    """The rules of one configuration.

    Raises:
        ValueError: (when made) authentication is on without a key that can be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._auth = settings.auth
        self._stream_token = (settings.telnyx.stream_token or "").encode()
        self._stream_networks = networks_of(settings.telnyx.stream_networks)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in settings.auth.allowed_origins)
        self._verifier = Verifier(settings.auth) if settings.auth.enabled else None

    def decide(self, head: RequestHead, target: Route, address: Address | None, now: float) -> dict[str, Any] | None:
        """Return the claims that a request is let in with; None when authentication is off.

        Args:
            address: the client's, None where it has none.
            now: seconds since 1970.

        Raises:
            Refused: it is not let in.
        """
        right = needed_right(head, target)
        if right is None:
            return None if self._verifier is None else BY_SIGNATURE
        if right == "stream":
            self._check_network(address)
        else:
            self._check_origin(head)
        if self._verifier is None:
            return None
        if right == "stream":
            return self._stream(self._verifier, head, now)
        try:
            return _frontend(self._verifier, head, right, now)
        except Refused as refusal:
            if right == "listen" and v1.SUBPROTOCOL in head.subprotocols:
                return _told_later(refusal)
            raise

    def _check_origin(self, head: RequestHead) -> None:
        origin = head.header("origin")
        if not self._origins or origin is None or "*" in self._origins:
            return
        if origin.rstrip("/").lower() not in self._origins:
            raise Refused(403, "Forbidden: this Origin is not among auth.allowed_origins")

    def _check_network(self, address: Address | None) -> None:
        if self._stream_networks and (address is None or not is_in(address, self._stream_networks)):
            raise Refused(403, "Forbidden: media streams do not come from this address")

    def _stream(self, verifier: Verifier, head: RequestHead, now: float) -> dict[str, Any]:
        """Telnyx's token: the one of all calls, or one for this call (a token with the right `stream`)."""
        given = head.header(STREAM_TOKEN_HEADER) or head.first("token")
        if not given:
            raise Refused(401, f"Unauthorized: no stream token, neither in {STREAM_TOKEN_HEADER} nor in ?token=")
        if self._stream_token and hmac.compare_digest(given.encode("utf-8", "replace"), self._stream_token):
            return TELNYX
        try:
            claims = verifier.verify(given, now)
        except BadToken:
            raise Refused(401, "Unauthorized: this is not the stream token") from None
        if not may(claims, "stream"):
            raise Refused(403, "Forbidden: this token is not for media streams")
        return {key: value for key, value in claims.items() if key != "exp"}  # a call may outlast it


def needed_right(head: RequestHead, target: Route) -> Right | None:
    """Which right a request takes; None: everybody's, or checked elsewhere."""
    if target.actor == "ingest":
        return "stream"
    if target.actor == "fanout":
        return "listen"
    if target.actor == "call_events":
        return None if target.kind == "http" and head.path == WEBHOOK_PATH else "events"
    return None if head.path in OPEN_PATHS else "admin"


def find_token(head: RequestHead) -> str | None:
    """The token of a frontend: from the query, the Authorization header, the subprotocols, or (pages) a cookie."""
    if (token := head.first("token")) is not None:
        return token
    scheme, _, credentials = (head.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return token_of_subprotocols(head.subprotocols) or (None if head.is_upgrade else _cookie(head))


def _frontend(verifier: Verifier, head: RequestHead, right: Right, now: float) -> dict[str, Any]:
    token = find_token(head)
    if not token:
        raise Refused(401, "Unauthorized: no token, neither in ?token=, nor as a Bearer, nor as a subprotocol")
    try:
        claims = verifier.verify(token, now)
    except Expired as error:
        raise RefusedExpired(401, f"Unauthorized: {error}") from None
    except BadToken as error:
        raise Refused(401, f"Unauthorized: {error}") from None
    if not may(claims, right):
        raise Refused(403, f"Forbidden: this token does not grant `{right}`")
    if right != "admin":
        _check_calls(claims, head)
    return claims


def _told_later(refusal: Refused) -> dict[str, Any]:
    """Claims that grant nothing, for a client of `patchbay.v1`: a browser could not read an answer to its upgrade, so it
    is told by a close code."""
    code = CLOSE_BAD_TOKEN if refusal.status == 401 else CLOSE_NOT_ALLOWED
    if isinstance(refusal, RefusedExpired):
        code = CLOSE_EXPIRED
    return {"sub": "", "calls": [], "can": [], REFUSED: [code, str(refusal).partition(": ")[2]]}


def _check_calls(claims: dict[str, Any], head: RequestHead) -> None:
    if not covers(claims, frozenset(call_ids(head))):
        raise Refused(403, "Forbidden: this token is not for this call")
    if granted_calls(claims) == frozenset():
        raise Refused(403, "Forbidden: this token is for no call")


def _cookie(head: RequestHead) -> str | None:
    """What the console's page was given. Not for WebSockets: any page can open one, and the browser adds its cookies."""
    try:
        cookies = SimpleCookie("; ".join(head.every("cookie")))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None
