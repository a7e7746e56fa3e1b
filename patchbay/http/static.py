"""Serves the files of the page from memory: they are read once, and a path is looked up, never opened."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchbay.http.message import Request, Response

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

FILE_MAX_BYTES = 4 * 1024 * 1024

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}

# Nothing from elsewhere, nothing inline, in nobody's frame.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True)
class _File:
    body: bytes
    content_type: str
    etag: str


class StaticFiles:
    """Holds the files of known types under a directory, and `index.html` as `/`. Hidden files and links are left
    out."""

    def __init__(self, directory: Path) -> None:
        self._files: dict[str, _File] = {}
        for path in sorted(directory.rglob("*")):
            inside = path.relative_to(directory)
            if any(part.startswith(".") for part in inside.parts) or path.is_symlink() or not path.is_file():
                continue
            if path.suffix in TYPES and path.stat().st_size <= FILE_MAX_BYTES:
                self._files[f"/{inside.as_posix()}"] = _read(path)
        if (index := self._files.get("/index.html")) is not None:
            self._files["/"] = index
        else:
            logger.error("no page: there is no index.html in %s", directory)

    def respond(self, request: Request) -> Response | None:
        """Return the file at a request's path, or 304 where the client has it; None when there is none."""
        found = self._files.get(request.path)
        if found is None:
            return None
        headers = {
            "cache-control": "no-cache",  # kept, but asked about each time: a new version is seen at once
            "etag": found.etag,
            "content-security-policy": CONTENT_SECURITY_POLICY,
        }
        if _matches(request.header("if-none-match"), found.etag):
            return Response(304, headers=headers)
        return Response(200, found.body, found.content_type, headers)


def _read(path: Path) -> _File:
    body = path.read_bytes()
    return _File(body, TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _matches(wanted: str | None, etag: str) -> bool:
    """Compare weakly with each tag of a list (RFC 9110 §13.1.2)."""
    if wanted is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in wanted.split(",")]
    return etag in tags or tags == ["*"]
