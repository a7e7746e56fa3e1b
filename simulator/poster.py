"""Delivers a call's webhooks in order, with Telnyx's retries. The media stream never waits for it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import trio

from simulator import webhooks
from simulator.http import HttpError, request

if TYPE_CHECKING:
    from simulator.webhooks import Sign

QUEUE_MAX = 100
ANSWER_TIMEOUT_S = 2.0  # "Webhook Fundamentals": delivered again when there is no answer within 2000 ms
RETRY_DELAYS_S = (0.2, 0.6)  # so three attempts; Telnyx does not document its own


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

    Without a URL nothing is delivered.
    """

    def __init__(self, url: str | None, sign: Sign | None = None) -> None:
        self.url = url
        self.deliveries: list[Delivery] = []
        self.dropped = 0  # the queue was full
        self._sign = sign
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
        async for hook in self._receive:
            if self.url is not None:
                await self._deliver(self.url, hook)

    @property
    def failures(self) -> list[Delivery]:
        """The attempts that were not answered 2xx."""
        return [delivery for delivery in self.deliveries if delivery.status is None or delivery.status >= 300]

    async def _deliver(self, url: str, hook: _Hook) -> None:
        for attempt, delay_s in enumerate((*RETRY_DELAYS_S, None), start=1):
            status = await self._attempt(url, hook, attempt)
            self.deliveries.append(Delivery(hook.event_type, hook.event_id, attempt, status))
            if delay_s is None or not webhooks.is_retried(status):
                return
            await trio.sleep(delay_s)

    async def _attempt(self, url: str, hook: _Hook, attempt: int) -> int | None:
        body = webhooks.envelope(
            hook.event_type,
            hook.payload,
            event_id=hook.event_id,
            occurred_at=hook.occurred_at,
            attempt=attempt,
            delivered_to=url,
        )
        sent = webhooks.headers(body, int(time.time()), self._sign)
        try:
            return (await request("POST", url, headers=sent, body=body, timeout_s=ANSWER_TIMEOUT_S)).status
        except HttpError:
            return None
