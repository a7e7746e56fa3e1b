"""Fits the limits of connections into the descriptors that this process may have. Pure."""

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
    """The settings with limits that can be kept: streams and other connections give way in proportion, and no address
    or token gets more than half."""
    max_heads = max(1, min(settings.max_heads, descriptors // HEADS_SHARE))
    room = max(2, (descriptors - RESERVED - max_heads) // (OF_TLS if tls else OF_PLAIN))
    wanted = settings.max_connections + settings.max_streams
    if wanted <= room and max_heads == settings.max_heads:
        return settings
    share = min(1.0, room / wanted)
    connections, streams = math.ceil(settings.max_connections * share), math.ceil(settings.max_streams * share)
    return msgspec.structs.replace(
        settings,
        max_heads=max_heads,
        max_connections=connections,
        max_streams=streams,
        connections_per_address=_of_one(settings.connections_per_address, connections),
        connections_per_token=_of_one(settings.connections_per_token, connections),
        event_clients_per_token=_of_one(settings.event_clients_per_token, connections),
        streams_per_address=_of_one(settings.streams_per_address, streams),
        streams_per_token=_of_one(settings.streams_per_token, streams),
    )


def _of_one(limit: int, of_all: int) -> int:
    """Return the limit of one peer where there is little: at most half of all."""
    return min(limit, math.ceil(of_all / 2))
