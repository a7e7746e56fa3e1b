"""Parses addresses, and the text that names a connection's peer. Pure.

A peer is named `203.0.113.9:40112`, or behind a proxy `203.0.113.9 via 127.0.0.1:40112`.
"""

from __future__ import annotations

import ipaddress
from typing import Final

VIA: Final = " via "
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

V6_PREFIX: Final = 64  # the owner of an IPv6 address usually has all addresses of this prefix


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
