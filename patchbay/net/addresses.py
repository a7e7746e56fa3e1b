"""Parses addresses, names a connection's peer, finds a client behind proxies, and says what counts as one address.
Pure.

A peer is named `203.0.113.9:40112`, or behind a proxy `203.0.113.9 via 127.0.0.1:40112`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VIA: Final = " via "
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

V6_PREFIX: Final = 64  # the owner of an IPv6 address usually has all addresses of this prefix
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The owner of an IPv6 address usually has the /64, and often the /48. By prefix, how many times the limit of one
# address its network has.
V6_PREFIXES: Final = {V6_PREFIX: 1, 48: 4}


def host_of(peer: str) -> str:
    """Return the host that a peer counts as: its IPv4 address, its IPv6 network, or the text itself."""
    host = _host(peer)
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.strip("[]").partition("%")[0], V6_PREFIX), strict=False))
    except ValueError:
        return host


def address_of(peer: str) -> Address | None:
    """Return the address of a connection's peer; None: the text has no address."""
    return parse_address(_host(peer))


def _host(peer: str) -> str:
    client, via, end = peer.rpartition(VIA)
    return client if via else end.rpartition(":")[0] or end


def bare_address(text: str) -> str:
    """Return an address without its brackets and, for IPv4, without its port."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def parse_address(text: str) -> Address | None:
    """Parse an address of X-Forwarded-For, with or without brackets or, for IPv4, a port; None: it is invalid."""
    try:
        address = ipaddress.ip_address(bare_address(text).partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


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
