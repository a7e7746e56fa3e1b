"""Who a connection is from, as text: `203.0.113.9:40112`, or `203.0.113.9 via 127.0.0.1:40112` behind a proxy. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final

VIA: Final = " via "
V6_PREFIX: Final = 64  # whoever has one IPv6 address has as many as there are behind this prefix


def host_of(peer: str) -> str:
    """Return what counts as one peer: an IPv4 address, an IPv6 network; the text itself where it has neither."""
    client, via, end = peer.rpartition(VIA)
    host = client if via else end.rpartition(":")[0] or end
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.strip("[]").partition("%")[0], V6_PREFIX), strict=False))
    except ValueError:
        return host
