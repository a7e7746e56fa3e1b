"""Lists what each right in a token's `can` is good for: the one table for all who check rights. Pure.

No right contains another. docs/security.md quotes the table, and a test compares the two. None in place of claims is
authentication switched off: everything may be done then, but what takes a right that nobody has by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patchbay.http.head import RequestHead, Route

Right = Literal["listen", "talk", "events", "admin", "stream"]


@dataclass(frozen=True)
class Grant:
    """Describes a right, in words for docs/security.md.

    Attributes:
        what: it is good for.
        without: what happens without it.
        by_call: whether it holds for the token's calls only.
    """

    what: str
    without: str
    by_call: bool = True


TABLE: Final[dict[Right, Grant]] = {
    "listen": Grant("`/audio-stream`, `/frontend-audio`", "403"),
    "talk": Grant("talking there", "error 200007, nothing reaches the call"),
    "events": Grant("`/call-events`, `/api/events`", "403"),
    "admin": Grant(
        "the page, `/api/…`, `/metrics`, restarting; with `talk`, taking the floor from others", "403", by_call=False
    ),
    "stream": Grant("to be a media stream", "403"),
}
RIGHTS: Final[frozenset[str]] = frozenset(TABLE)
PAGE_RIGHTS: Final[tuple[Right, ...]] = ("listen", "talk", "events", "admin")  # those that a page of ours asks about

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})  # for probes; they tell nothing of calls
WEBHOOK_PATH: Final = "/calls/telnyx/webhook"  # its signature is checked where its body is read
_RIGHT_OF_ACTOR: Final[dict[str, Right]] = {
    "ingest": "stream",
    "fanout": "listen",
    "call_events": "events",
    "console": "admin",
}


def may(claims: Mapping[str, Any] | None, right: Right) -> bool:
    """Return whether claims grant a right. None, which is authentication switched off, grants every right."""
    if claims is None:
        return True
    can = claims.get("can")
    return isinstance(can, list | tuple) and right in can


def granted(claims: Mapping[str, Any] | None) -> list[Right]:
    """Return the rights that claims grant to a page."""
    return [right for right in PAGE_RIGHTS if may(claims, right)]


def may_preempt(claims: Mapping[str, Any] | None) -> bool:
    """Return whether a talker may take the floor from others. Never without authentication, or everybody could."""
    return claims is not None and may(claims, "admin")


def is_open(head: RequestHead, target: Route) -> bool:
    """Return whether a request needs no token."""
    return target.kind == "http" and head.path in OPEN_PATHS


def needed_right(head: RequestHead, target: Route) -> Right | None:
    """Return which right a request needs; None: none, or it is checked elsewhere."""
    if is_open(head, target) or (target.kind == "http" and head.path == WEBHOOK_PATH):
        return None
    return _RIGHT_OF_ACTOR[target.actor]
