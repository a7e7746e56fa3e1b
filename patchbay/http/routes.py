"""Calls the handler of a path and method, and answers 404, 405 with `Allow`, and HEAD where there is GET."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from patchbay.http.message import Response

if TYPE_CHECKING:
    from patchbay.http.message import Request

Handler = Callable[["Request"], Awaitable[Response]]


class Routes:
    """Holds a table of handlers, and is a handler itself, for `HttpServer`.

    Args:
        fallback: asked for GET and HEAD of a path that is not in the table; None from it means 404.
    """

    def __init__(self, fallback: Callable[[Request], Response | None] | None = None) -> None:
        self._table: dict[str, dict[str, Handler]] = {}
        self._fallback = fallback

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Let a handler answer one method of one path; the path as `patchbay.http.head` normalises it."""
        self._table.setdefault(path, {})[method] = handler

    async def __call__(self, request: Request) -> Response:
        """Answer a request. What a handler raises goes through."""
        method = "GET" if request.method == "HEAD" else request.method
        methods = self._table.get(request.path)
        if methods is None:
            return self._other(request, method)
        handler = methods.get(method)
        if handler is None:
            return _not_allowed(methods)
        return await handler(request)

    def _other(self, request: Request, method: str) -> Response:
        found = self._fallback(request) if self._fallback else None
        if found is None:
            return Response.text("Not Found", 404)
        return found if method == "GET" else _not_allowed({"GET": None})


def _not_allowed(methods: dict[str, Handler] | dict[str, None]) -> Response:
    allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else [])})
    return Response.text("Method Not Allowed", 405, allow=", ".join(allowed))
