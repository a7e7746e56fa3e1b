"""Addresses as they are written, and who a connection is from, as text: `203.0.113.9:40112`, or `203.0.113.9 via 127.0.0.1:40112` behind a proxy. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final

VIA: Final = " via "
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

V6_PREFIX: Final = 64  # whoever has one IPv6 address has as many as there are behind this prefix


def host_of(peer: str) -> str:
    """Return what counts as one peer: an IPv4 address, an IPv6 network; the text itself where it has neither."""
    host = _host(peer)
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.strip("[]").partition("%")[0], V6_PREFIX), strict=False))
    except ValueError:
        return host


def address_of(peer: str) -> Address | None:
    """Return the address that a connection is from. None: the text has none."""
    return parse_address(_host(peer))


def _host(peer: str) -> str:
    client, via, end = peer.rpartition(VIA)
    return client if via else end.rpartition(":")[0] or end


def bare_address(text: str) -> str:
    """Return an address without its brackets or, but for IPv6, its port."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def parse_address(text: str) -> Address | None:
    """Read an address as it is written in X-Forwarded-For: with or without brackets or, for IPv4, a port. None: it is none."""
    try:
        address = ipaddress.ip_address(bare_address(text).partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
