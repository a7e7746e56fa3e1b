"""Receives each request whose head has been read: who it is, whether it comes too often, whether it may in.

Joins addresses, rates and access, and counts what it turns away. Pure: the times are arguments. The text of an address,
`203.0.113.9 via 127.0.0.1:40112`, keeps the connection's own end, which is needed when its next request comes.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actors.gateway.access import Access
from actors.gateway.addresses import client_address, counted_as, networks_of, parse_address
from actors.gateway.buckets import Buckets
from actors.wire.peers import VIA
from actors.wire.request import BadRequest
from actors.wire.tokens import REFUSED

if TYPE_CHECKING:
    from actors.gateway.addresses import Address
    from actors.wire.request import RequestHead, Route
    from config.settings import Settings

NOWHERE: Final = ipaddress.ip_address("127.0.0.1")  # a connection whose other end has no address: this machine's


@dataclass(frozen=True)
class Admission:
    """A request that may in.

    Attributes:
        peer: who it is from, for logs; the connection's own end after the last ` via `.
        claims: what it may; None when authentication is off.
        counted: under which names its connection counts, while it is there, and how many there may be of each.
    """

    peer: str
    claims: dict[str, Any] | None
    counted: dict[str, int]


class Reception:
    """Receives by the rules of one configuration.

    Attributes:
        counters: `refused_401` and so on, by status.

    Raises:
        ValueError: (when made) see `Access`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.gateway
        self._access = Access(settings)
        self._proxy_networks = networks_of(settings.gateway.proxy_networks)
        self._handshakes = Buckets(settings.gateway.handshakes_per_s, settings.gateway.handshakes_burst)
        self.counters: Counter[str] = Counter()

    def receive(self, peer: str, head: RequestHead, target: Route, *, now: float, wall: float) -> Admission:
        """Let a request in.

        Args:
            peer: the connection's other end, or what an earlier `Admission` said of it.
            now: monotonic seconds; wall: seconds since 1970.

        Raises:
            BadRequest: 401 or 403 (see `Access`), 429 when there are too many from this address.
        """
        end = peer.rpartition(VIA)[2]
        direct = parse_address(end.rpartition(":")[0]) or NOWHERE
        client = self._client(direct, head)
        try:
            key = counted_as(client)
            if key is not None and not self._handshakes.take(key, now):
                raise BadRequest(429, "Too Many Requests: this address asks too often")
            claims = self._access.decide(head, target, client, wall)
        except BadRequest as refusal:
            self.counters[f"refused_{refusal.status}"] += 1
            raise
        if claims is not None and REFUSED in claims:
            self.counters["refused_after_upgrade"] += 1
        told = end if client == direct else f"{client}{VIA}{end}"
        return Admission(told, claims, self._names(target.actor, key, claims))

    def counted_again(self, peer: str, actor: str, claims: dict[str, Any] | None) -> dict[str, int]:
        """How a connection counts that an earlier gateway had let in."""
        client, via, end = peer.rpartition(VIA)
        address = parse_address(client if via else end.rpartition(":")[0]) or NOWHERE
        return self._names(actor, counted_as(address), claims)

    def _client(self, direct: Address, head: RequestHead) -> Address:
        forwarded = head.every("x-forwarded-for")
        proxies = self._settings.trusted_proxies
        return client_address(direct, forwarded, proxies=proxies, proxy_networks=self._proxy_networks)

    def _names(self, actor: str, key: str | None, claims: dict[str, Any] | None) -> dict[str, int]:
        given = self._settings
        if actor == "ingest":
            return {"media streams": given.max_streams}  # all of Telnyx's come from a few addresses
        names = {"connections": given.max_connections}
        if key is not None:
            names[f"connections from {key}"] = given.connections_per_address
        if claims is not None and claims["sub"]:
            names[f"connections with tokens of {claims['sub']}"] = given.connections_per_token
        return names
