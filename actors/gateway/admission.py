"""Admits each request whose head has been read, by its address, its rate and its token, or refuses it.

Joins addresses, rates and access, and counts what it turns away. Pure: the times are arguments. The text of an address,
`203.0.113.9 via 127.0.0.1:40112`, keeps the connection's own end, which is needed when its next request comes.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from patchbay.auth.access import Access
from patchbay.auth.tokens import CARRIER, REFUSED
from patchbay.http.head import BadRequest
from patchbay.net.addresses import VIA, client_address, limit_keys, parse_address, parse_networks
from patchbay.net.rate_limit import RateLimitsByKey

if TYPE_CHECKING:
    from config.settings import Settings
    from patchbay.http.head import RequestHead, Route
    from patchbay.net.addresses import Address

NO_ADDRESS: Final = ipaddress.ip_address("127.0.0.1")  # a connection whose other end has no address: this machine's


class TooMany(BadRequest):
    """429: a peer has, or does, more than it may. 503: all peers together have more than they may."""


@dataclass(frozen=True)
class Admitted:
    """Describes an admitted request.

    Attributes:
        peer: who it is from, for logs; the connection's own end after the last ` via `.
        claims: what it may; None when authentication is off.
        counted: under which names its connection counts, while it is there, and how many there may be of each. A name
            says what, and then ` from ` which address, or ` with ` whose tokens.
    """

    peer: str
    claims: dict[str, Any] | None
    counted: dict[str, int]


class Admission:
    """Admits requests by the rules of one configuration.

    Attributes:
        counters: `refused_401` and so on, by status; `too_often_by_address`, `too_often_by_token`.

    Raises:
        ValueError: (when made) see `Access`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.gateway
        self._access = Access(settings)
        self._proxy_networks = parse_networks(settings.gateway.proxy_networks)
        given = settings.gateway
        self._handshakes = RateLimitsByKey(given.handshakes_per_s, given.handshakes_burst)
        self._token_handshakes = RateLimitsByKey(given.token_handshakes_per_s, given.token_handshakes_burst)
        self._streams_of_others = given.max_streams - math.ceil(given.max_streams * given.carrier_share)
        self.counters: Counter[str] = Counter()

    def receive(self, peer: str, head: RequestHead, target: Route, *, now: float, wall: float) -> Admitted:
        """Admit a request.

        Args:
            peer: the connection's other end, or what an earlier `Admitted` said of it.
            now: monotonic seconds; wall: seconds since 1970.

        Raises:
            BadRequest: 401 or 403 (see `Access`), 429 when there are too many from this address, or with this token.
        """
        end = peer.rpartition(VIA)[2]
        direct = parse_address(end.rpartition(":")[0]) or NO_ADDRESS
        client = self._client(direct, head)
        try:
            keys = limit_keys(client)
            if not all(self._handshakes.of(key, times).spend(1, now) for key, times in keys.items()):
                self.counters["too_often_by_address"] += 1
                raise TooMany(429, "Too Many Requests: this address asks too often")
            claims = self._access.decide(head, target, client, wall)
            self._check_token_rate(claims, now)
        except BadRequest as refusal:
            self.counters[f"refused_{refusal.status}"] += 1
            raise
        if claims is not None and REFUSED in claims:
            self.counters["refused_after_upgrade"] += 1
        told = end if client == direct else f"{client}{VIA}{end}"
        return Admitted(told, claims, self._names(target, keys, claims))

    def count_again(self, peer: str, target: Route, claims: dict[str, Any] | None) -> dict[str, int]:
        """Return the names under which a connection counts that an earlier gateway had admitted."""
        client, via, end = peer.rpartition(VIA)
        address = parse_address(client if via else end.rpartition(":")[0]) or NO_ADDRESS
        return self._names(target, limit_keys(address), claims)

    def _check_token_rate(self, claims: dict[str, Any] | None, now: float) -> None:
        """Refuse a token that is shown too often, from any address. Telnyx's own is not counted: every call comes with
        it."""
        if claims is None or CARRIER in claims or not claims["sub"]:
            return
        if not self._token_handshakes.of(claims["sub"]).spend(1, now):
            self.counters["too_often_by_token"] += 1
            raise TooMany(429, "Too Many Requests: tokens of this `sub` are shown too often", claims["sub"])

    def _client(self, direct: Address, head: RequestHead) -> Address:
        forwarded = head.every("x-forwarded-for")
        proxies = self._settings.trusted_proxies
        return client_address(direct, forwarded, proxies=proxies, proxy_networks=self._proxy_networks)

    def _names(self, target: Route, keys: dict[str, int], claims: dict[str, Any] | None) -> dict[str, int]:
        sub = claims["sub"] if claims is not None else ""
        if target.actor == "ingest":
            return self._names_of_stream(keys, claims, sub)
        given = self._settings
        names = {"connections": given.max_connections}
        names |= {f"connections from {key}": given.connections_per_address * times for key, times in keys.items()}
        if sub:
            names[f"connections with tokens of {sub}"] = given.connections_per_token
        if sub and target.actor == "call_events" and target.kind == "ws":
            names[f"event clients with tokens of {sub}"] = given.event_clients_per_token
        return names

    def _names_of_stream(self, keys: dict[str, int], claims: dict[str, Any] | None, sub: str) -> dict[str, int]:
        """Telnyx's streams all come with one token from a few addresses, so they count together only. Others can't take
        the slots that are kept for them."""
        given = self._settings
        names = {"media streams": given.max_streams}
        if claims is None or CARRIER in claims:
            return names
        names["media streams without Telnyx's token"] = self._streams_of_others
        names |= {f"media streams from {key}": given.streams_per_address * times for key, times in keys.items()}
        names[f"media streams with tokens of {sub}"] = given.streams_per_token
        return names


def kind_of(name: str) -> tuple[str, str]:
    """Return what a name counts, as counters are called, and by what of a client: `address`, `token`, or nothing."""
    for words, by in ((" with tokens of ", "token"), (" from ", "address")):  # a `sub` may have any words in it
        kind, is_by, _ = name.partition(words)
        if is_by:
            return f"{kind.replace(' ', '_')}_by_{by}", by
    return name.replace(" ", "_").replace("'", "").lower(), ""
