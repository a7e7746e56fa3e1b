"""Defines HTTP requests and responses as handlers see them, and the headers that every response has.

Pure: `server` frames them (by h11), `routes` calls their handlers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

TEXT_TYPE = "text/plain; charset=utf-8"
JSON_TYPE = "application/json"

# A response that says nothing else may be shown by nobody's page, kept by no cache and taken for no other type.
DEFAULT_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class Request:
    """Holds one whole request.

    Attributes:
        path: decoded, without a leading `/api` or `/ws` segment or a trailing slash.
        query: every value of every parameter.
        headers: names in lower case. May hold tokens, so they are never printed.
        peer: the client's address as the gateway saw it.
        claims: who the token says it is; None when authentication is off.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(repr=False)
    peer: str
    claims: dict[str, Any] | None = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)

    @property
    def media_type(self) -> str | None:
        """Return `Content-Type` without its parameters, in lower case; None when there is none."""
        value = self.header("content-type")
        return None if value is None else value.partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Response:
    """Holds one whole response. Its headers win over DEFAULT_HEADERS; length, date and connection are added when it is
    sent."""

    status: int = 200
    body: bytes = b""
    content_type: str = TEXT_TYPE
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def text(cls, text: str, status: int = 200, **headers: str) -> Response:
        """Return an answer of one line; a header is named with underscores (`retry_after="1"`)."""
        return cls(status, f"{text}\n".encode(), TEXT_TYPE, _named(headers))

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Response:
        """Return a JSON answer; a header is named with underscores."""
        return cls(status, orjson.dumps(value), JSON_TYPE, _named(headers))

    def header_lines(self) -> list[tuple[str, str]]:
        """Return all headers that do not depend on the connection."""
        merged = {
            **DEFAULT_HEADERS,
            **{name.lower(): value for name, value in self.headers.items()},
        }
        if self.status not in (204, 304):
            merged["content-type"] = self.content_type
            merged["content-length"] = str(len(self.body))
        return list(merged.items())


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
