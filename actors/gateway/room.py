"""How many connections fit into the descriptors that this process may have. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from config.settings import GatewaySettings

RESERVED: Final = 128  # descriptors for links to actors, the bus, logs, and what passes through
HEADS_SHARE: Final = 8  # one in so many is for connections whose heads are being read
OF_PLAIN, OF_TLS = 1, 3  # descriptors of one connection


def fitted(settings: GatewaySettings, descriptors: int, *, tls: bool) -> GatewaySettings:
    """The settings with limits that can be kept: streams and other connections give way in proportion."""
    max_heads = max(1, min(settings.max_heads, descriptors // HEADS_SHARE))
    room = max(2, (descriptors - RESERVED - max_heads) // (OF_TLS if tls else OF_PLAIN))
    wanted = settings.max_connections + settings.max_streams
    if wanted <= room and max_heads == settings.max_heads:
        return settings
    share = min(1.0, room / wanted)
    return msgspec.structs.replace(
        settings,
        max_heads=max_heads,
        max_connections=math.ceil(settings.max_connections * share),
        max_streams=math.ceil(settings.max_streams * share),
    )
