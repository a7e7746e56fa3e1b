"""Delivers a call's webhooks with Telnyx's retries and redirects: in order, or as badly as it may happen.

The media stream never waits for it.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import orjson
import trio

from simulator import webhooks
from simulator.deliveries import Delivery as Remembered
from simulator.deliveries import DeliveryFaults
from simulator.http import HttpError, request

if TYPE_CHECKING:
    from simulator.deliveries import DeliveryBook
    from simulator.signing import Sign

QUEUE_MAX = 100
ANSWER_TIMEOUT_S = 2.0  # "Webhook Fundamentals": delivered again when there is no answer within 2000 ms
RETRY_DELAYS_S = (0.2, 0.6)  # so three attempts; Telnyx does not document its own
REDIRECTS_MAX = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DEAD_URL = "http://127.0.0.1:1/"  # nobody listens on this port


@dataclass(frozen=True)
class Delivery:
    """What became of one attempt; status None: no answer."""

    event_type: str
    event_id: str
    attempt: int
    status: int | None


@dataclass(frozen=True)
class _Hook:
    event_type: str
    payload: dict[str, Any]
    event_id: str
    occurred_at: datetime


class WebhookPoster:
    """The webhooks of one call. `run` it in a nursery; it returns after `close`, once all are delivered or given up.

    Args:
        url: without one nothing is delivered.
        book: where what becomes of them is noted down.
    """

    def __init__(
        self,
        url: str | None,
        sign: Sign | None = None,
        *,
        faults: DeliveryFaults | None = None,
        random: Random | None = None,
        book: DeliveryBook | None = None,
    ) -> None:
        self.url = url
        self.deliveries: list[Delivery] = []
        self.dropped = 0  # the queue was full
        self._sign = sign
        self._faults = faults or DeliveryFaults()
        self._random = random or Random()
        self._book = book
        self._send, self._receive = trio.open_memory_channel[_Hook](QUEUE_MAX)

    def post(self, event_type: str, payload: dict[str, Any]) -> None:
        """Queue a webhook of something that happens now. Never blocks."""
        try:
            self._send.send_nowait(_Hook(event_type, payload, str(uuid.uuid4()), datetime.now(UTC)))
        except trio.WouldBlock:
            self.dropped += 1

    def close(self) -> None:
        """Nothing more will be posted."""
        self._send.close()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            async for hook in self._receive:
                if self.url is None:
                    continue
                if self._faults.keeps_order:
                    await self._deliver(self.url, hook)
                    continue
                for _ in range(2 if self._happens(self._faults.doubled_pct) else 1):
                    nursery.start_soon(self._deliver, self.url, hook)

    @property
    def failures(self) -> list[Delivery]:
        """The attempts that were not answered 2xx."""
        return [delivery for delivery in self.deliveries if delivery.status is None or delivery.status >= 300]

    def _happens(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    async def _deliver(self, url: str, hook: _Hook) -> None:
        faults = self._faults
        await trio.sleep(faults.late_s + self._random.random() * faults.shuffle_s)
        target = DEAD_URL if self._happens(faults.dead_pct) else url
        remembered = Remembered(orjson.loads(_envelope(hook, 1, url))["data"], url)
        for attempt, delay_s in enumerate((*RETRY_DELAYS_S, None), start=1):
            began = datetime.now(UTC)
            status = await self._attempt(target, url, hook, attempt)
            remembered.attempts.append((began, datetime.now(UTC), status))
            self.deliveries.append(Delivery(hook.event_type, hook.event_id, attempt, status))
            if delay_s is None or not webhooks.is_retried(status):
                break
            await trio.sleep(delay_s)
        if self._book is not None:
            self._book.add(remembered)

    async def _attempt(self, target: str, url: str, hook: _Hook, attempt: int) -> int | None:
        body = _envelope(hook, attempt, url)
        for _ in range(REDIRECTS_MAX + 1):
            sent = webhooks.headers(body, int(time.time()), self._sign)
            try:
                answer = await request("POST", target, headers=sent, body=body, timeout_s=ANSWER_TIMEOUT_S)
            except HttpError:
                return None
            if answer.status not in REDIRECTS or not answer.location:
                return answer.status
            target = urljoin(target, answer.location)
        return None


def _envelope(hook: _Hook, attempt: int, url: str) -> bytes:
    return webhooks.envelope(
        hook.event_type,
        hook.payload,
        event_id=hook.event_id,
        occurred_at=hook.occurred_at,
        attempt=attempt,
        delivered_to=url,
    )
