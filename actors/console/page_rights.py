"""Describes to a page what its token grants. Pure. None stands for no claims: authentication is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchbay.auth.rights import granted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def session(claims: Mapping[str, Any] | None, anonymous_networks: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a page is told of its user, and of the networks whose clients need no token, where there are any."""
    who = {} if claims is None else claims
    more = {"anonymous_networks": list(anonymous_networks)} if anonymous_networks else {}
    return {
        "authentication": claims is not None,
        "sub": who.get("sub"),
        "can": granted(claims),
        "calls": who.get("calls", "*"),
        "expires_at": who.get("exp"),
        **more,
    }
