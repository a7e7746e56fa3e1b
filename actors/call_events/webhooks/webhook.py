"""Answers `POST /api/calls/telnyx/webhook`: verifies each event, records it, and answers after its commit.

Telnyx repeats a webhook after 5xx or 429, and never after 2xx (telnyx.md §6.2). The method and the size are checked
before the body is read, and the signature before the body is parsed.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

from actors.call_events.events import Arrival, MalformedEvent, OldApi, parse_webhook
from actors.call_events.journal.interface import Unavailable
from actors.call_events.webhooks.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, BadSignature, Verifier
from patchbay.http.message import Request, Response
from patchbay.protocol.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from config import Settings

    Record = Callable[[Sequence[Arrival]], Awaitable[list[bool]]]

logger = logging.getLogger(__name__)

PATH = "/calls/telnyx/webhook"
RETRY_AFTER_S = 1
LOG_INTERVAL_S = 60.0  # between log lines of one kind; all are counted
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
LIKE_A_FORM = re.compile(rb"[A-Za-z]\w*=")
FORM = (
    "a form, as TeXML applications send: in Telnyx's portal, give the number a Voice API application (Call Control) with "
    "this URL and Webhook API Version API v2, or give the TeXML application another URL"
)


class Webhook:
    """Handles webhooks.

    Args:
        record: writes events to the journal, and returns whether each is new.
        verifier: verifies signatures; None: every webhook is accepted.

    Attributes:
        counters: `webhooks`, `webhooks_duplicate`, `webhooks_mended` (a part that nobody needs could not be read),
            `webhooks_malformed`, `webhooks_old_api`, `webhooks_forms`, `webhooks_unbelieved`, `webhooks_refused`.
    """

    def __init__(self, record: Record, verifier: Verifier | None) -> None:
        self._record = record
        self._verifier = verifier
        self._logged_at: dict[str, float] = {}  # by counter
        self.counters: Counter[str] = Counter()

    async def __call__(self, request: Request) -> Response:
        now = time.time()
        try:
            self._verify(request, now)
        except BadSignature as error:
            return self._refuse(request, "unbelieved", 401, f"Unauthorized: {error}", now)
        if _is_form(request):
            return self._refuse(request, "forms", 415, f"Unsupported Media Type: {FORM}", now)
        if not _is_json(request):
            return self._refuse(request, "malformed", 415, "Unsupported Media Type: webhooks are plain JSON", now)
        received_at, mended = int(now * 1_000_000), list[str]()
        try:
            event = parse_webhook(request.body, received_at=timestamp(received_at), mended=mended)
        except OldApi as error:
            return self._refuse(request, "old_api", 400, f"Bad Request: {error}", now)
        except MalformedEvent as error:
            return self._refuse(request, "malformed", 400, f"Bad Request: {error}", now)
        if mended:
            about = {"peer": request.peer, "call_control_id": event.call_control_id, "type": event.type}
            self._count("mended", f"webhook read in part; these fields can't be read: {', '.join(mended)}", about, now)
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

    def _verify(self, request: Request, now: float) -> None:
        if self._verifier is not None:
            signature, timestamp_ = request.header(SIGNATURE_HEADER), request.header(TIMESTAMP_HEADER)
            self._verifier.check(request.body, signature=signature, timestamp=timestamp_, now=now)

    def _refuse(self, request: Request, kind: str, status: int, text: str, now: float) -> Response:
        self._count(kind, f"webhook refused: {status} {text}", {"peer": request.peer}, now)
        return Response.text(text, status)

    def _count(self, kind: str, text: str, about: Mapping[str, object], now: float) -> None:
        """Count a webhook, and log it, at most once a minute for each kind."""
        name = f"webhooks_{kind}"
        self.counters[name] += 1
        if now - self._logged_at.get(name, float("-inf")) >= LOG_INTERVAL_S:
            self._logged_at[name] = now
            logger.warning("%s", text, extra=about)


def verifier_of(settings: Settings) -> Verifier | None:
    """Return the verifier of webhooks; None only where authentication is off and there is no key."""
    keys = settings.telnyx.public_key
    if not keys and not settings.auth.enabled:
        return None
    if not keys:
        logger.error(
            "PATCHBAY_TELNYX__PUBLIC_KEY is not set, so every webhook is refused: set it to Telnyx's public key"
        )
    return Verifier(keys, tolerance_s=settings.events.signature_tolerance_s)


def _is_form(request: Request) -> bool:
    media_type = request.media_type
    return media_type in FORM_TYPES or (media_type is None and LIKE_A_FORM.match(request.body) is not None)


def _is_json(request: Request) -> bool:
    if (request.header("content-encoding") or "identity").lower() != "identity":
        return False
    media_type = request.media_type
    return (
        media_type is None
        or media_type == "application/json"
        or (media_type.startswith("application/") and media_type.endswith("+json"))
    )
