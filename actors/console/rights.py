"""What a token's claims allow on the console. Pure. None stands for no claims: authentication is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL = ("listen", "talk", "events", "admin")


def may_administer(claims: Mapping[str, Any] | None) -> bool:
    """Whether it grants `admin`."""
    return claims is None or "admin" in rights(claims)


def rights(claims: Mapping[str, Any] | None) -> list[str]:
    """What it grants, of what a page can use."""
    granted = ALL if claims is None else claims.get("can")
    return [right for right in ALL if right in granted] if isinstance(granted, list | tuple) else []


def session(claims: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a page is told of whoever has opened it."""
    who = {} if claims is None else claims
    return {
        "authentication": claims is not None,
        "sub": who.get("sub"),
        "can": rights(claims),
        "calls": who.get("calls", "*"),
        "expires_at": who.get("exp"),
    }
