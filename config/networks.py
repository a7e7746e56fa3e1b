"""Tells networks of one owner from networks of everybody. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ipaddress

# A network with a shorter prefix is nobody's own: two halves of the Internet are the Internet.
OWN_PREFIX_MIN: Final = {4: 8, 6: 16}


def is_everywhere(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Return whether a network is too large to be that of an office or a VPN."""
    return network.prefixlen < OWN_PREFIX_MIN[network.version]
