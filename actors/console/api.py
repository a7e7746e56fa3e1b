"""What the console answers: health, readiness, calls, actors, metrics, and the files of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from actors.console import metrics, prometheus, statuses
from actors.console.cookie import remembering
from actors.runtime.http_message import Request, Response
from actors.runtime.http_routes import Handler, Routes

if TYPE_CHECKING:
    from collections import Counter

    from actors.console.static import StaticFiles
    from actors.console.stats import StatsBook


class StatusSource(Protocol):
    """Where the supervisor's status comes from; see `control.SupervisorControl`."""

    async def status(self) -> statuses.Status | None: ...


class Api:
    """All handlers. `routes` is what the HTTP server is given."""

    def __init__(self, book: StatsBook, supervisor: StatusSource, files: StaticFiles, counters: Counter[str]) -> None:
        self._book = book
        self._supervisor = supervisor
        self._counters = counters
        self.routes = Routes(fallback=remembering(files.respond))
        self.routes.add("GET", "/healthz", self.healthz)
        self.routes.add("GET", "/readyz", self.readyz)
        self.routes.add("GET", "/metrics", _for_admins(self.metrics))
        # The wire drops one leading /api, so /api/calls comes as /calls; from a page under /api it comes whole.
        for prefix in ("", "/api"):
            self.routes.add("GET", f"{prefix}/calls", _for_admins(self.calls))
            self.routes.add("GET", f"{prefix}/actors", _for_admins(self.actors))

    async def healthz(self, request: Request) -> Response:
        """200 while this process serves, whatever the others do."""
        del request
        return Response.text("ok")

    async def readyz(self, request: Request) -> Response:
        """200 once every actor is ready, else 503 and the names of those that are not."""
        del request
        missing = statuses.not_ready(await self._supervisor.status())
        if missing:
            return Response.text(f"not ready: {' '.join(missing)}", 503, retry_after="1")
        return Response.text("ready")

    async def calls(self, request: Request) -> Response:
        """The live calls."""
        del request
        return Response.json({"calls": self._book.calls(trio.current_time())})

    async def actors(self, request: Request) -> Response:
        """The supervisor and its actors, as `status --json` tells them."""
        del request
        status = await self._supervisor.status()
        if status is None:
            return Response.text("the supervisor does not answer", 503, retry_after="1")
        return Response.json({"supervisor": status.get("supervisor"), "actors": statuses.actors(status)})

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        del request
        families = metrics.families(self._book, await self._supervisor.status(), self._counters, trio.current_time())
        return Response(200, prometheus.render(families), prometheus.CONTENT_TYPE)


def _for_admins(handler: Handler) -> Handler:
    """With authentication on, who calls whom is only for those whose token says `admin`."""

    async def guarded(request: Request) -> Response:
        if request.claims is not None:
            rights = request.claims.get("can")
            if not isinstance(rights, list) or "admin" not in rights:
                return Response.text("Forbidden: needs a token with the right `admin`", 403)
        return await handler(request)

    return guarded
