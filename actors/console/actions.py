"""Restarts and rolls actors over HTTP: `POST /api/actors/NAME[.INDEX]/restart|roll`, for administrators, from our own
page.

What a page of somebody else's must not be able to do with an administrator's browser is refused by
`patchbay.auth.csrf`. The supervisor does the work; nothing here knows how.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from patchbay.auth.csrf import csrf_error
from patchbay.auth.rights import may
from patchbay.http.message import Response

if TYPE_CHECKING:
    from patchbay.http.message import Request

logger = logging.getLogger(__name__)

PATH = re.compile(r"(?:/api)?/actors/(?P<name>[a-z_]{1,32}(?:\.[0-9]{1,3})?)/(?P<action>restart|roll)")
WAIT_S = 25.0  # a new process has 20 s to become ready
OWN_WAIT_S = 0.2  # long enough for a refusal
AT_ONCE_MAX = 4


class Commander(Protocol):
    """Sends commands to the supervisor; `supervisor_client.SupervisorControl` does."""

    async def command(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any] | None: ...


class Actions:
    """Answers requests for restarts and rolls."""

    def __init__(self, supervisor: Commander) -> None:
        self._supervisor = supervisor
        self._running = 0

    async def respond(self, request: Request, name: str, action: str) -> Response:
        """Answer 200 when it is done, 202 when it goes on, else an error that says what is wrong."""
        if request.method != "POST":
            return Response.text("Method Not Allowed", 405, allow="POST")
        if not may(request.claims, "admin"):
            return Response.text("Forbidden: needs a token with the right `admin`", 403)
        if (refusal := csrf_error(request)) is not None:
            logger.warning("refused to %s %s: %s", action, name, refusal, extra={"peer": request.peer})
            return Response.text(f"Forbidden: {refusal}", 403)
        if request.media_type != "application/json":
            return Response.text("Unsupported Media Type: send application/json", 415)
        if not _is_empty_object(request.body):
            return Response.text("Bad Request: the body must be {}", 400)
        if self._running >= AT_ONCE_MAX:
            return Response.text("Service Unavailable: others are being restarted", 503, retry_after="5")
        self._running += 1
        try:
            return await self._carry_out(request, name, action)
        finally:
            self._running -= 1

    async def _carry_out(self, request: Request, name: str, action: str) -> Response:
        who = "somebody" if request.claims is None else str(request.claims.get("sub"))
        logger.info("%s asks to %s %s", who, action, name, extra={"peer": request.peer})
        # It cannot wait for its own end: that waits for the answers that are still to be given.
        timeout_s = OWN_WAIT_S if name.partition(".")[0] == "console" else WAIT_S
        answer = await self._supervisor.command({"command": action, "name": name}, timeout_s)
        if answer is None:
            return Response.text("Service Unavailable: the supervisor does not answer", 503, retry_after="1")
        if not answer:
            return Response.json({"done": False}, 202)
        if answer.get("ok") is True:
            return Response.json({"done": True, "reports": answer.get("reports", [])})
        status = 409 if "reports" in answer else 404
        return Response.text(f"{'Conflict' if status == 409 else 'Not Found'}: {answer.get('error')}", status)


def _is_empty_object(body: bytes) -> bool:
    try:
        return bool(orjson.loads(body) == {})
    except orjson.JSONDecodeError:
        return False
