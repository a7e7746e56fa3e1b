"""Answers the console's requests: health, readiness, calls, actors, metrics, and the files of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from actors.console import actions, metrics, page_rights, prometheus, statuses
from actors.console.process_memory import own_bytes
from patchbay.auth.csrf import csrf_error
from patchbay.auth.page_cookie import DELETE_COOKIE, setting_cookie
from patchbay.auth.rights import may
from patchbay.http.message import Request, Response
from patchbay.http.routes import Handler, Routes
from patchbay.protocol.query import BadQuery, calls_only

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from actors.console.stats import StatsBook
    from patchbay.http.static import StaticFiles


class Supervisor(actions.Commander, Protocol):
    """Asks the supervisor for its status too; `supervisor_client.SupervisorControl` does."""

    async def status(self) -> statuses.Status | None: ...


class Api:
    """Holds all handlers, and is the handler that the HTTP server calls.

    Args:
        anonymous_networks: whose clients need no token; the page warns of them.
        is_tls: the public port speaks TLS itself.
        node: the name of this node, where there is a cluster.
    """

    def __init__(
        self,
        book: StatsBook,
        supervisor: Supervisor,
        files: StaticFiles,
        counters: Counter[str],
        *,
        anonymous_networks: Sequence[str] = (),
        is_tls: bool = False,
        node: str | None = None,
    ) -> None:
        self._node = {} if node is None else {"node": node}
        self._anonymous_networks = anonymous_networks
        self._book = book
        self._supervisor = supervisor
        self._counters = counters
        self._actions = actions.Actions(supervisor)
        self._routes = Routes(fallback=setting_cookie(files.respond, is_tls=is_tls))
        self._routes.add("GET", "/healthz", self.healthz)
        self._routes.add("GET", "/readyz", self.readyz)
        self._routes.add("GET", "/metrics", _for_admins(self.metrics))
        # The wire drops one leading /api, so /api/calls comes as /calls; from a page under /api it comes whole.
        for prefix in ("", "/api"):
            self._routes.add("GET", f"{prefix}/calls", _for_admins(self.calls))
            self._routes.add("GET", f"{prefix}/actors", _for_admins(self.actors))
            self._routes.add("GET", f"{prefix}/session", self.session)
            self._routes.add("DELETE", f"{prefix}/session", self.forget)

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        if (asked := actions.PATH.fullmatch(request.path)) is not None:
            return await self._actions.respond(request, asked["name"], asked["action"])
        return await self._routes(request)

    async def healthz(self, request: Request) -> Response:
        """Answer 200 while this process serves, whatever the others do."""
        del request
        return Response.text("ok")

    async def readyz(self, request: Request) -> Response:
        """Answer 200 once every actor is ready, else 503 with the names of those that are not."""
        del request
        missing = statuses.not_ready(await self._supervisor.status())
        if missing:
            return Response.text(f"not ready: {' '.join(missing)}", 503, retry_after="1")
        return Response.text("ready")

    async def calls(self, request: Request) -> Response:
        """Answer with the live calls, or with those of them that are named."""
        try:
            named = calls_only(request.query)
        except BadQuery as error:
            return Response.text(f"Bad Request: {error}", 400)
        calls = [{**call, **self._node} for call in self._book.calls(trio.current_time())]
        return Response.json({"calls": [call for call in calls if not named or call.get("call_control_id") in named]})

    async def actors(self, request: Request) -> Response:
        """Answer with the supervisor and its actors, as `status --json` prints them, and each process's memory
        (`memory_bytes`)."""
        del request
        status = await self._supervisor.status()
        if status is None:
            return Response.text("the supervisor does not answer", 503, retry_after="1")
        found = [{**actor, "memory_bytes": own_bytes(actor.get("pid"))} for actor in statuses.actors(status)]
        return Response.json({"supervisor": status.get("supervisor"), "actors": found, **self._node})

    async def session(self, request: Request) -> Response:
        """Answer what the page's token grants, and until when."""
        return Response.json(page_rights.session(request.claims, self._anonymous_networks))

    async def forget(self, request: Request) -> Response:
        """Have the browser forget the page's token."""
        if (refusal := csrf_error(request)) is not None:
            return Response.text(f"Forbidden: {refusal}", 403)
        return Response(204, headers={"set-cookie": DELETE_COOKIE})

    async def metrics(self, request: Request) -> Response:
        """Answer with all metrics, for Prometheus."""
        del request
        families = metrics.families(self._book, await self._supervisor.status(), self._counters, trio.current_time())
        return Response(200, prometheus.render(families), prometheus.CONTENT_TYPE)


def _for_admins(handler: Handler) -> Handler:
    """Restrict a handler: with authentication on, calls and processes are shown only to tokens with the right
    `admin`."""

    async def guarded(request: Request) -> Response:
        if not may(request.claims, "admin"):
            return Response.text("Forbidden: needs a token with the right `admin`", 403)
        return await handler(request)

    return guarded
