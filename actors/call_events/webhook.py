"""`POST /api/calls/telnyx/webhook`: Telnyx's events, each taken once and answered at once.

Statuses by telnyx.md §6.2: Telnyx retries 5xx and 429, and takes any 2xx for done. Method and size are settled before.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actors.call_events.events import Event, MalformedEvent, parse_webhook
from actors.runtime.http_message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATH = "/calls/telnyx/webhook"


class Webhook:
    """The handler.

    Args:
        record: takes an event for good; False when it is known. Only then is the webhook answered 200.

    Attributes:
        counters: `webhooks`, `webhooks_duplicate`, `webhooks_malformed`.
    """

    def __init__(self, record: Callable[[Event], Awaitable[bool]]) -> None:
        self._record = record
        self.counters: Counter[str] = Counter()

    async def __call__(self, request: Request) -> Response:
        if not _is_json(request):
            self.counters["webhooks_malformed"] += 1
            return Response.text("Unsupported Media Type: webhooks are plain JSON", 415)
        try:
            event = parse_webhook(request.body, received_at=utc_now())
        except MalformedEvent as error:
            self.counters["webhooks_malformed"] += 1
            return Response.text(f"Bad Request: {error}", 400)
        is_new = await self._record(event)
        self.counters["webhooks" if is_new else "webhooks_duplicate"] += 1
        return Response.text("ok")


def utc_now() -> str:
    """The time as Telnyx writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _is_json(request: Request) -> bool:
    if (request.header("content-encoding") or "identity").lower() != "identity":
        return False
    media_type = request.media_type
    return (
        media_type is None
        or media_type == "application/json"
        or (media_type.startswith("application/") and media_type.endswith("+json"))
    )
