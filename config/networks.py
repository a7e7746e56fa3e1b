"""Networks in settings. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ipaddress

# What is larger is nobody's own network, however it is written: two halves of everything are everything.
OWN_PREFIX_MIN: Final = {4: 8, 6: 16}


def is_everywhere(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether a network is so large that it is no office's or VPN's."""
    return network.prefixlen < OWN_PREFIX_MIN[network.version]
