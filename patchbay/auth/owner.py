"""Tells who counts as one peer where time is shared out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchbay.auth.tokens import CARRIER
from patchbay.net.addresses import address_of, host_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping


def owner_of(connection: int, peer: str, claims: Mapping[str, Any] | None) -> Hashable:
    """Return with whom a connection shares its turns: with those of its token's `sub`; without one, with those of its
    address.

    With nobody: a stream that comes with Telnyx's own token, which is a call by itself, and what comes from this
    machine, or from a proxy on it that does not say for whom it speaks.

    Args:
        connection: its number.
        peer: who it is from (`patchbay.net.addresses`).
    """
    if claims is not None and CARRIER in claims:
        return connection
    if claims is not None and claims.get("sub"):
        return str(claims["sub"])
    address = address_of(peer)
    return connection if address is None or address.is_loopback else ("address", host_of(peer))
