"""Decides which web pages may connect, by the Origin that their browser sends (RFC 6454). Pure.

Programs send no Origin and are not asked. With authentication off, pages of this machine may: `localhost`, 127.0.0.0/8
and `[::1]`, on any port.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERY: Final = "*"
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\s/@:\[\]?#]+)(?::(?P<port>\d{1,5}))?"
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Origins:
    """Holds a list of allowed Origins. `loopback`: pages of this machine are allowed too."""

    def __init__(self, listed: Iterable[str], *, loopback: bool) -> None:
        self._listed = frozenset(normalised(origin) for origin in listed)
        self._loopback = loopback

    @property
    def is_empty(self) -> bool:
        """Return whether no page is allowed."""
        return not self._listed and not self._loopback

    def allow(self, origin: str) -> bool:
        """Return whether pages of an Origin may connect."""
        return EVERY in self._listed or normalised(origin) in self._listed or (self._loopback and is_loopback(origin))


def normalised(origin: str) -> str:
    """Return an Origin as browsers write it: in lower case, without the scheme's usual port."""
    text = origin.strip().lower().removesuffix("/")
    found = _ORIGIN.fullmatch(text)
    if found is not None and found["port"] == _DEFAULT_PORTS.get(found["scheme"]):
        return f"{found['scheme']}://{found['host']}"
    return text


def is_loopback(origin: str) -> bool:
    """Return whether an Origin is that of a page from this machine."""
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None or found["scheme"] not in _DEFAULT_PORTS:
        return False
    host = found["host"]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
