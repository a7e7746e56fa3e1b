"""Reads one value from the Cookie header (RFC 6265 §5.4), in one pass over it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def cookie_of(headers: Iterable[str], name: str) -> str | None:
    """Return the first cookie of a name, without the quotes around its value; None: there is none.

    Nothing within quotes is unescaped, since servers that follow RFC 6265 never write it.
    """
    for header in headers:
        for pair in header.split(";"):
            key, equals, value = pair.partition("=")
            if equals and key.strip() == name:
                return _unquoted(value.strip())
    return None


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
