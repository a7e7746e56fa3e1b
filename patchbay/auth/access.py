"""Decides who may connect (contract, section 5), from the request's head alone, before any upgrade.

Pure: the time is an argument. Grants claims, which travel with the connection, or refuses with a status and a reason
that holds no part of a token. What claims are good for later is the actors' to see to.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final

from config.networks import is_everywhere
from patchbay.auth.origins import Origins
from patchbay.auth.page_cookie import COOKIE_NAME
from patchbay.auth.rights import TABLE, is_open, may, needed_right
from patchbay.auth.tokens import (
    CARRIER,
    REFUSED,
    BadToken,
    Expired,
    Verifier,
    covers,
    granted_calls,
    tokens_of_subprotocols,
)
from patchbay.http.cookies import cookie_of
from patchbay.http.head import BadRequest, call_ids
from patchbay.http.local_request import why_remote
from patchbay.net.addresses import is_in, parse_networks
from patchbay.protocol.errors import CLOSE_BAD_TOKEN, CLOSE_EXPIRED, CLOSE_NOT_ALLOWED
from patchbay.protocol.query import is_null
from patchbay.protocol.v1 import frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.settings import Settings
    from patchbay.auth.rights import Right
    from patchbay.http.head import RequestHead, Route
    from patchbay.net.addresses import Address

ORIGINS_SETTING: Final = "auth.allowed_origins (PATCHBAY_AUTH__ALLOWED_ORIGINS)"
SHOWN_CHARS: Final = 100
STREAM_TOKEN_HEADER: Final = "x-telnyx-streaming-auth-token"
TELNYX: Final[dict[str, Any]] = {"sub": "telnyx", "calls": "*", "can": ["stream"], CARRIER: True}
# What whoever comes without a token from one of `auth.anonymous_networks` may, of every call.
OF_ANONYMOUS: Final[tuple[Right, ...]] = ("listen", "talk", "events")
SWITCH_ON: Final = (
    "set PATCHBAY_AUTH__ENABLED=true with PATCHBAY_AUTH__JWT_SECRET (or PATCHBAY_AUTH__JWT_PUBLIC_KEY), "
    "PATCHBAY_TELNYX__STREAM_TOKEN and PATCHBAY_TELNYX__PUBLIC_KEY"
)
BY_SIGNATURE: Final[dict[str, Any]] = {"sub": "", "calls": [], "can": []}


class Refused(BadRequest):
    """401: no token, or a bad one. 403: a good token, but not for this request, or not from there."""


class RefusedExpired(Refused):
    """401: an expired token."""


class Anonymous:
    """Admits clients without a token: from some networks, where the Origin of their page is on the list.

    Args:
        networks: theirs; one that is everywhere takes an Origin too, which programs do not send by themselves.
        allowed_origins: pages that may; those of this machine may from this machine.
    """

    def __init__(self, networks: Iterable[str], allowed_origins: Iterable[str]) -> None:
        self._networks = parse_networks(networks)
        listed = tuple(allowed_origins)
        self._origins = {loopback: Origins(listed, loopback=loopback) for loopback in (False, True)}

    def claims(self, head: RequestHead, address: Address | None, right: Right) -> dict[str, Any] | None:
        """Return what a client without a token may do; None: it needs a token.

        Raises:
            Refused: its page may not.
        """
        if address is None or right not in OF_ANONYMOUS:
            return None
        networks = [network for network in self._networks if address in network]
        if not networks or find_token(head):
            return None
        origins, given = self._origins[address.is_loopback], head.every("origin")
        if not all(map(origins.allow, given)) or (not given and all(map(is_everywhere, networks))):
            why = f"without a token only pages of an Origin in {ORIGINS_SETTING} may connect"
            raise Refused(403, f"Forbidden: {why}, and this one names {_shown(given)}")
        return {"sub": f"anonymous {address}", "calls": "*", "can": list(OF_ANONYMOUS)}


class Access:
    """Applies the rules of one configuration.

    Raises:
        ValueError: (when made) authentication is on without a key that can be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._stream_token = (settings.telnyx.stream_token or "").encode()
        self._stream_networks = parse_networks(settings.telnyx.stream_networks)
        self._verifier = Verifier(settings.auth) if settings.auth.enabled else None
        self._origins = Origins(settings.auth.allowed_origins, loopback=self._verifier is None)
        self._anonymous = Anonymous(settings.auth.anonymous_networks, settings.auth.allowed_origins)

    def decide(self, head: RequestHead, target: Route, address: Address | None, now: float) -> dict[str, Any] | None:
        """Return the claims that a request is admitted with; None when authentication is off.

        Args:
            address: the client's, None where it has none.
            now: seconds since 1970.

        Raises:
            Refused: it is not let in.
        """
        right = needed_right(head, target)
        if self._verifier is None and not is_open(head, target):
            _check_machine(head)
        if self._verifier is None or right not in (None, "stream"):  # those show a signature or a token of Telnyx's
            self._check_origin(head)
        if right is None:
            return None if self._verifier is None else BY_SIGNATURE
        if right == "stream":
            self._check_network(address)
        if self._verifier is None:
            return None
        if right == "stream":
            return self._stream(self._verifier, head, now)
        try:
            return self._anonymous.claims(head, address, right) or _frontend(self._verifier, head, right, now)
        except Refused as refusal:
            if right == "listen" and frames.SUBPROTOCOL in head.subprotocols:
                return _refused_after_upgrade(refusal)
            raise

    def _check_origin(self, head: RequestHead) -> None:
        """Refuse pages whose Origin is not on the list. A page of anybody's can open a WebSocket to this machine."""
        if self._origins.is_empty:
            return
        for origin in head.every("origin"):
            if not self._origins.allow(origin):
                shown = origin[:SHOWN_CHARS]
                raise Refused(
                    403, f"Forbidden: pages of the Origin {shown!r} may not connect: add it to {ORIGINS_SETTING}"
                )

    def _check_network(self, address: Address | None) -> None:
        if self._stream_networks and (address is None or not is_in(address, self._stream_networks)):
            raise Refused(403, "Forbidden: media streams do not come from this address")

    def _stream(self, verifier: Verifier, head: RequestHead, now: float) -> dict[str, Any]:
        """Return the claims of a media stream, from Telnyx's token for all calls, or a token for one call (with the
        right `stream`)."""
        given = stream_tokens(head)
        if not given:
            raise Refused(401, f"Unauthorized: no stream token, neither in {STREAM_TOKEN_HEADER} nor in ?token=")
        if self._stream_token:
            matches = [hmac.compare_digest(token, self._stream_token) for token in given]
            if any(matches):
                return TELNYX
        try:
            claims = verifier.verify(given[0].decode("utf-8", "replace"), now)
        except BadToken:
            raise Refused(401, "Unauthorized: this is not the stream token") from None
        if not may(claims, "stream"):
            raise Refused(403, "Forbidden: this token is not for media streams", claims["sub"])
        return {key: value for key, value in claims.items() if key != "exp"}  # a call may outlast it


def _check_machine(head: RequestHead) -> None:
    """Refuse requests from other machines while authentication is off."""
    if (why := why_remote(head)) is not None:
        raise Refused(
            403,
            f"Forbidden: authentication is off, so only this machine may connect, and this request comes from elsewhere "
            f"({why}). To let others in, {SWITCH_ON}",
        )


def _shown(origins: list[str]) -> str:
    return repr(origins[0][:SHOWN_CHARS]) if origins else "none"


def stream_tokens(head: RequestHead) -> list[bytes]:
    """What a media stream shows as its token, as bytes: in its header, and in the query, where a `+` may be meant as
    such or as a space."""
    in_query = [*head.query.get("token", ()), *head.literal("token")]
    given = [
        *(value.encode("latin-1") for value in head.every(STREAM_TOKEN_HEADER) if not is_null(value)),
        *(value.encode("utf-8", "replace") for value in in_query if not is_null(value)),
    ]
    return list(dict.fromkeys(given))


def find_token(head: RequestHead) -> str | None:
    """The token of a frontend: from the query, the Authorization header, the subprotocols, or (pages) a cookie. What a
    program writes that has none (`undefined`) is none."""
    found = [
        *head.query.get("token", ()),
        *(credentials.strip() for scheme, _, credentials in _authorizations(head) if scheme.lower() == "bearer"),
        *tokens_of_subprotocols(head.subprotocols),
    ]
    token = next((each for each in found if not is_null(each)), None)
    return token if token is not None or head.is_upgrade else _cookie(head)


def _authorizations(head: RequestHead) -> list[tuple[str, str, str]]:
    return [value.strip().partition(" ") for value in head.every("authorization")]


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
        raise Refused(403, f"Forbidden: this token does not grant `{right}`", claims["sub"])
    if TABLE[right].by_call:
        _check_calls(claims, head)
    return claims


def _refused_after_upgrade(refusal: Refused) -> dict[str, Any]:
    """Claims that grant nothing, for a client of `patchbay.v1`: a browser could not read an answer to its upgrade, so
    it is told by a close code."""
    code = CLOSE_BAD_TOKEN if refusal.status == 401 else CLOSE_NOT_ALLOWED
    if isinstance(refusal, RefusedExpired):
        code = CLOSE_EXPIRED
    return {"sub": refusal.sub or "", "calls": [], "can": [], REFUSED: [code, str(refusal).partition(": ")[2]]}


def _check_calls(claims: dict[str, Any], head: RequestHead) -> None:
    if not covers(claims, frozenset(call_ids(head))):
        raise Refused(403, "Forbidden: this token is not for this call", claims["sub"])
    if granted_calls(claims) == frozenset():
        raise Refused(403, "Forbidden: this token is for no call", claims["sub"])


def _cookie(head: RequestHead) -> str | None:
    """Return the token that the console's page was given. Not for WebSockets: any page can open one, with the browser's
    cookies."""
    return cookie_of(head.every("cookie"), COOKIE_NAME)
