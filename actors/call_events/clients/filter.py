"""Reads the events that a request asks for, and limits them to the calls that its token grants. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.call_events.entry import Interest
from patchbay.net.addresses import host_of
from patchbay.protocol.query import BadQuery, calls_only

if TYPE_CHECKING:
    from collections.abc import Mapping

BEFORE_ALL = -1  # an offset before all events
LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
TYPES_MAX = 200  # of one request
PREFIXES_MAX = 20  # of one request; each event is compared with all of them
YES = frozenset({"1", "true", "yes"})

Query = dict[str, list[str]]


@dataclass(frozen=True)
class EventFilter:
    """Holds the events that a request asks for.

    Attributes:
        since: the offset after which to begin; BEFORE_ALL for a malformed one; None: new events only.
        snapshot: the live calls come first.
        limit: the most events in one answer.
    """

    interest: Interest
    since: int | None = None
    snapshot: bool = False
    limit: int = LIMIT_DEFAULT


def parse_filter(query: Query, claims: Mapping[str, Any] | None) -> EventFilter:
    """Read a query. Calls that the token does not grant are left out. Raises BadQuery."""
    return EventFilter(
        Interest(wanted_calls(query, claims), *_types(query)),
        since=_since(_first(query, "since")),
        snapshot=_first(query, "snapshot").lower() in YES,
        limit=_limit(_first(query, "limit")),
    )


def wanted_calls(query: Query, claims: Mapping[str, Any] | None) -> frozenset[str] | None:
    """Return the calls that a query names and a token grants; None: all. Raises BadQuery."""
    named = frozenset(calls_only(query)) or None
    if claims is None or claims.get("calls") == "*":
        return named
    granted = claims.get("calls")
    allowed = frozenset(call for call in granted if isinstance(call, str)) if isinstance(granted, list) else frozenset()
    return allowed if named is None else allowed & named


def reader_of(claims: Mapping[str, Any] | None, peer: str) -> str:
    """Return the name of a reader: the `sub` of its token, or its address where it has no token."""
    return str((claims or {}).get("sub") or host_of(peer))


def _types(query: Query) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    """Return the types and prefixes of `type=call.hangup,call.*`, which may be repeated. `call.*` is a prefix."""
    names = {name for text in query.get("type", ()) for name in text.split(",") if name}
    if not names:
        return None, ()
    prefixes = {name[:-1] for name in names if name.endswith("*")}
    if len(names) > TYPES_MAX or len(prefixes) > PREFIXES_MAX:
        raise BadQuery(f"more than {TYPES_MAX} types, or {PREFIXES_MAX} that end with *")
    return frozenset(name for name in names if not name.endswith("*")), tuple(sorted(prefixes))


def _since(text: str) -> int | None:
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else BEFORE_ALL


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return LIMIT_DEFAULT
    return min(max(int(text), 1), LIMIT_MAX)


def _first(query: Query, name: str) -> str:
    return next((value for value in query.get(name, ()) if value), "")
