"""Finds the client's address behind proxies, and the networks by which an address is limited. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from patchbay.net.addresses import V6_PREFIX, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from patchbay.net.addresses import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The owner of an IPv6 address usually has the /64, and often the /48. By prefix, how many times the limit of one
# address its network has.
V6_PREFIXES: Final = {V6_PREFIX: 1, 48: 4}


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse networks of the settings, which were validated there."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Tell whether an address is in one of the networks."""
    return any(address in network for network in networks)


def client_address(
    direct: Address, forwarded: Iterable[str], *, proxies: int, proxy_networks: Sequence[Network]
) -> Address:
    """Return the address of the client that has sent a request.

    Args:
        direct: the address of the connection's peer.
        forwarded: the values of X-Forwarded-For. Each proxy appends the address of its peer, so only the last `proxies`
            addresses can be trusted.
        proxies: how many proxies there are in front.
        proxy_networks: the networks of the last proxy; `forwarded` is ignored from other peers.
    """
    if not proxies or not is_in(direct, proxy_networks):
        return direct
    hops = [hop for value in forwarded for hop in value.split(",") if hop.strip()][-proxies:]
    return (parse_address(hops[0]) if hops else None) or direct


def limit_keys(address: Address) -> dict[str, int]:
    """Return the keys by which an address is limited, each with how many times the limit of one address it has.

    Empty for a loopback address: this machine, or a proxy on it that does not name its client.
    """
    if address.is_loopback:
        return {}
    if isinstance(address, ipaddress.IPv6Address):
        networks = (
            (ipaddress.ip_network((address, prefix), strict=False), times) for prefix, times in V6_PREFIXES.items()
        )
        return {str(network): times for network, times in networks}
    return {str(address): 1}
