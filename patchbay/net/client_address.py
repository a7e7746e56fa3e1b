"""Which address a request comes from, behind proxies, and which addresses count as one. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from patchbay.net.addresses import V6_PREFIX, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from patchbay.net.addresses import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Whoever has one IPv6 address has as many as there are behind the longer prefix; many who have that can have all that are
# behind the shorter one, which may have so many times as much as one.
V6_PREFIXES: Final = {V6_PREFIX: 1, 48: 4}


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks from settings, where they have been checked."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks."""
    return any(address in network for network in networks)


def client_address(
    direct: Address, forwarded: Iterable[str], *, proxies: int, proxy_networks: Sequence[Network]
) -> Address:
    """The address that a request comes from.

    Args:
        direct: of the connection's other end.
        forwarded: values of X-Forwarded-For. Each proxy adds who it was called by at the end, so with `proxies` of
            them in front, the last so many are true and the rest may be anybody's invention.
        proxy_networks: where the last proxy is; the word of others counts for nothing.
    """
    if not proxies or not is_in(direct, proxy_networks):
        return direct
    hops = [hop for value in forwarded for hop in value.split(",") if hop.strip()][-proxies:]
    return (parse_address(hops[0]) if hops else None) or direct


def counted_as(address: Address) -> dict[str, int]:
    """What limits by address count it as, and how many times as much as one address each of these may have. Nothing: it is
    this machine, or a proxy on it that does not say for whom it speaks."""
    if address.is_loopback:
        return {}
    if isinstance(address, ipaddress.IPv6Address):
        networks = (
            (ipaddress.ip_network((address, prefix), strict=False), times) for prefix, times in V6_PREFIXES.items()
        )
        return {str(network): times for network, times in networks}
    return {str(address): 1}
