"""Tells from a request's head whether it comes from this machine. Pure.

With authentication off, only this machine may connect. A port on loopback is not enough for that: a proxy in front
passes on requests of anybody's, and a page of anybody's can have a name of its own resolved to 127.0.0.1 (DNS
rebinding). Both show in the head.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from patchbay.net.addresses import bare_address, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchbay.http.head import RequestHead

ADDRESS_HEADERS: Final = ("x-forwarded-for", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
HOST_HEADERS: Final = ("host", "x-forwarded-host", "x-original-host")
FORWARDED: Final = "forwarded"  # RFC 7239
_PAIR: Final = re.compile(r'(for|host)=(?:"([^"]*)"|([^;,"\s]*))', re.IGNORECASE)
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s\[\]:@/?#,]*))(?::\d{0,5})?")  # RFC 9112 §3.2
_ABSOLUTE: Final = re.compile(r"[a-z]+://([^/?#]*)", re.IGNORECASE)
SHOWN_CHARS: Final = 60


def why_remote(head: RequestHead) -> str | None:
    """Return what in a head says that the request comes from another machine, in words; None: nothing does."""
    for name, value in _addresses(head):
        if not is_loopback_address(value):
            return f"{name} names {value[:SHOWN_CHARS]!r}"
    for name, value in _hosts(head):
        if not is_local_host(value):
            return f"{name} is {value[:SHOWN_CHARS]!r}"
    return None


def is_loopback_address(text: str) -> bool:
    """Return whether an address, with or without a port, is a loopback address."""
    address = parse_address(text)
    return bare_address(text).lower() == "localhost" if address is None else address.is_loopback


def is_loopback_host(text: str) -> bool:
    """Return whether a host, as in Host, is this machine wherever its name is resolved (RFC 6761 §6.3)."""
    name = _name(text)
    return name is not None and (name == "localhost" or name.endswith(".localhost") or is_loopback_address(name))


def is_local_host(text: str) -> bool:
    """Return whether no DNS can have made a host's name point here: loopback, or a name without a dot, of no domain."""
    name = _name(text)
    return is_loopback_host(text) or (name is not None and "." not in name and ":" not in name)


def _name(text: str) -> str | None:
    found = _HOST.fullmatch(text.strip().lower())
    return None if found is None else (found[1] or found[2] or "").removesuffix(".")


def _addresses(head: RequestHead) -> Iterator[tuple[str, str]]:
    yield from _listed(head, ADDRESS_HEADERS)
    yield from _forwarded(head, "for")


def _hosts(head: RequestHead) -> Iterator[tuple[str, str]]:
    absolute = _ABSOLUTE.match(head.raw_target)
    if absolute is not None:
        yield "the request target", absolute[1]
    yield from _listed(head, HOST_HEADERS)
    yield from _forwarded(head, "host")


def _listed(head: RequestHead, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        for value in head.every(name):
            yield from ((name, part.strip()) for part in value.split(",") if part.strip())


def _forwarded(head: RequestHead, key: str) -> Iterator[tuple[str, str]]:
    for value in head.every(FORWARDED):
        for name, quoted, plain in _PAIR.findall(value):
            if name.lower() == key:
                yield FORWARDED, quoted or plain
