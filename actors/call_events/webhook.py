"""`POST /api/calls/telnyx/webhook`: Telnyx's events, each believed, taken once and answered at once.

Statuses by telnyx.md §6.2: Telnyx retries 5xx and 429, and takes any 2xx for done. Method and size are settled before
a byte of the body is read, the signature before a byte of it is understood.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from actors.call_events.call_state import timestamp
from actors.call_events.events import Arrival, MalformedEvent, parse_webhook
from actors.call_events.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, BadSignature, Verifier
from actors.call_events.store import Unavailable
from actors.runtime.http_message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from config import Settings

    Record = Callable[[Sequence[Arrival]], Awaitable[list[bool]]]

logger = logging.getLogger(__name__)

PATH = "/calls/telnyx/webhook"
RETRY_AFTER_S = 1
COMPLAINT_INTERVAL_S = 60.0  # a line in the log; the counters tell the rest


class Webhook:
    """The handler.

    Args:
        record: takes events for good, and says of each whether it is new. Only then is a webhook answered 200.
        verifier: None: everybody is believed (a laptop).

    Attributes:
        counters: `webhooks`, `webhooks_duplicate`, `webhooks_malformed`, `webhooks_unbelieved`, `webhooks_refused`.
    """

    def __init__(self, record: Record, verifier: Verifier | None) -> None:
        self._record = record
        self._verifier = verifier
        self._complained_at = float("-inf")
        self.counters: Counter[str] = Counter()

    async def __call__(self, request: Request) -> Response:
        now = time.time()
        try:
            self._believe(request, now)
        except BadSignature as error:
            self._complain(request, error, now)
            return Response.text(f"Unauthorized: {error}", 401)
        if not _is_json(request):
            self.counters["webhooks_malformed"] += 1
            return Response.text("Unsupported Media Type: webhooks are plain JSON", 415)
        received_at = int(now * 1_000_000)
        try:
            event = parse_webhook(request.body, received_at=timestamp(received_at))
        except MalformedEvent as error:
            self.counters["webhooks_malformed"] += 1
            return Response.text(f"Bad Request: {error}", 400)
        return await self._take(Arrival(event, "telnyx", request.body, received_at))

    async def _take(self, arrival: Arrival) -> Response:
        try:
            (is_new,) = await self._record([arrival])
        except Unavailable:
            self.counters["webhooks_refused"] += 1
            return Response.text(
                "Service Unavailable: the event can't be kept now", 503, retry_after=str(RETRY_AFTER_S)
            )
        self.counters["webhooks" if is_new else "webhooks_duplicate"] += 1
        return Response.text("ok")

    def _believe(self, request: Request, now: float) -> None:
        if self._verifier is not None:
            signature, timestamp_ = request.header(SIGNATURE_HEADER), request.header(TIMESTAMP_HEADER)
            self._verifier.check(request.body, signature=signature, timestamp=timestamp_, now=now)

    def _complain(self, request: Request, error: BadSignature, now: float) -> None:
        self.counters["webhooks_unbelieved"] += 1
        if now - self._complained_at >= COMPLAINT_INTERVAL_S:
            self._complained_at = now
            logger.warning("webhook from %s refused: %s", request.peer, error)


def verifier_of(settings: Settings) -> Verifier | None:
    """What webhooks are checked with; None only where authentication is off and there is no key."""
    keys = settings.telnyx.public_key
    if not keys and not settings.auth.enabled:
        return None
    if not keys:
        logger.error("PATCHBAY_TELNYX__PUBLIC_KEY is not set: every webhook is refused")
    return Verifier(keys, tolerance_s=settings.events.signature_tolerance_s)


def _is_json(request: Request) -> bool:
    if (request.header("content-encoding") or "identity").lower() != "identity":
        return False
    media_type = request.media_type
    return (
        media_type is None
        or media_type == "application/json"
        or (media_type.startswith("application/") and media_type.endswith("+json"))
    )
