"""Fetches missed webhooks from Telnyx's list of deliveries, after a time without service.

`GET /v2/webhook_deliveries` (telnyx.md §4). Found webhooks have the ids of delivered ones, so none is recorded twice.
httpx is imported only when there is an API key.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import trio

from actors.call_events.events import Arrival, MalformedEvent, parse_webhook
from actors.call_events.journal.interface import Unavailable
from patchbay.protocol.lenient_json import decode_any, encode_any
from patchbay.protocol.times import timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from actors.call_events.journal.interface import Record
    from actors.call_events.journal.writer import JournalWriter

logger = logging.getLogger(__name__)

PAGE_SIZE = 250  # the most that Telnyx allows
PAGE_MAX_BYTES = 64 * 1024 * 1024
PAGES_MAX = 400
TIMEOUT_S = 10.0
RETRY_FIRST_S, RETRY_MAX_S = 2.0, 300.0
# Telnyx retries for a minute, so deliveries before the last received webhook may have failed, too.
MARGIN_US = 120 * 1_000_000
GAP_MAX_US = 7 * 86_400 * 1_000_000
SECOND_FETCH_S = 90.0  # after which deliveries have failed that Telnyx was retrying at the first fetch


class Backfill:
    """Fetches missed webhooks after a time without service.

    Attributes:
        counters: `backfilled`, `backfill_known`, `backfill_failures`.
    """

    def __init__(self, url: str, api_key: str, journal: JournalWriter) -> None:
        self._url = f"{url.rstrip('/')}/webhook_deliveries"
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        self._journal = journal
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Fetch twice after the journal was opened, and after each time in which it could not be written, until
        cancelled."""
        await self._journal.session.ready.wait()
        last_at = await self._last_webhook_at()
        await self._fetch_until_done(last_at)
        while True:
            await trio.sleep(SECOND_FETCH_S)
            await self._fetch_until_done(last_at)
            await self._journal.failed.wait()
            last_at = time.time_ns() // 1000
            await self._journal.recovered.wait()

    async def _last_webhook_at(self) -> int:
        """Return when the last webhook was received, µs since 1970; now: there was none, so none was missed."""
        try:
            found = await self._journal.reader.last_webhook_at()
        except Unavailable:
            found = None
        return found or time.time_ns() // 1000

    async def _fetch_until_done(self, since: int) -> None:
        delay_s = RETRY_FIRST_S
        since = max(since - MARGIN_US, time.time_ns() // 1000 - GAP_MAX_US)
        while True:
            try:
                await self._fetch(since)
                return
            except (ImportError, OSError, RuntimeError, ValueError, Unavailable) as error:
                self.counters["backfill_failures"] += 1
                logger.warning("missed webhooks could not be fetched from Telnyx; trying again: %s", repr(error))
            await trio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_MAX_S)

    async def _fetch(self, since: int) -> None:
        """Fetch once. Raises ImportError, OSError, RuntimeError (no descriptors or threads are left, or no answer),
        ValueError and Unavailable."""
        import httpx

        try:
            async with httpx.AsyncClient(headers=self._headers, timeout=TIMEOUT_S) as client:
                await fetch(client, self._url, since, self._journal.record, self.counters)
        except httpx.HTTPError as error:
            raise OSError(repr(error)) from error


async def fetch(client: httpx.AsyncClient, url: str, since: int, record: Record, counters: Counter[str]) -> None:
    """Record every event whose delivery has failed since a time (µs since 1970).

    Raises:
        httpx.HTTPError: no answer, or an error status.
        ValueError: the answer is not JSON, or no list of deliveries.
        Unavailable: the journal can't be written.
    """
    async for page in _pages(client, url, since):
        arrivals = [arrival for delivery in page if (arrival := _arrival(delivery)) is not None]
        taken = await record(arrivals) if arrivals else []
        counters["backfilled"] += sum(taken)
        counters["backfill_known"] += len(taken) - sum(taken)
        if any(taken):
            logger.warning("%d missed webhooks were fetched from Telnyx and recorded", sum(taken))


async def _pages(client: httpx.AsyncClient, url: str, since: int) -> AsyncIterator[list[Any]]:
    query = {"filter[status][eq]": "failed", "filter[started_at][gte]": timestamp(since), "page[size]": str(PAGE_SIZE)}
    for number in range(1, PAGES_MAX + 1):
        answer = await client.get(url, params={**query, "page[number]": str(number)})
        answer.raise_for_status()
        found = decode_any(
            answer.content, [], max_bytes=PAGE_MAX_BYTES
        )  # one malformed delivery must not lose the others
        if not isinstance(found, dict) or not isinstance(found.get("data"), list):
            raise ValueError("the list of deliveries has another form")
        yield found["data"]
        if len(found["data"]) < PAGE_SIZE:
            return


def _arrival(delivery: Any) -> Arrival | None:
    """Return the event of one delivery, as its webhook would have brought it; None where there is none."""
    webhook = delivery.get("webhook") if isinstance(delivery, dict) else None
    if not isinstance(webhook, dict):
        return None
    now = time.time_ns() // 1000
    try:
        body = encode_any({"data": webhook, "meta": {"backfilled": True}})
        return Arrival(parse_webhook(body, received_at=timestamp(now)), "telnyx", body, now)
    except MalformedEvent as error:
        logger.warning("a delivery in Telnyx's list is malformed, and is not recorded: %s", error)
        return None
