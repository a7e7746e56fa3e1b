"""What Telnyx remembers of webhooks' deliveries, as its API tells it; and what can go wrong with them on the way.

Pure. Sources: "List webhook deliveries" of Telnyx's API reference, and the types of its SDK.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from simulator.times import timestamp_text

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_MAX = 100_000
PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX = 20, 250


@dataclass(frozen=True)
class DeliveryFaults:
    """How badly webhooks are delivered. All of it is allowed: Telnyx promises neither order nor a single delivery."""

    doubled_pct: float = 0.0  # delivered a second time, at the same time
    late_s: float = 0.0  # later than they could be, by so much
    shuffle_s: float = 0.0  # and by up to so much more, each by another time: out of order
    dead_pct: float = 0.0  # to an endpoint that does not answer: they are never delivered

    @property
    def keeps_order(self) -> bool:
        return not (self.doubled_pct or self.shuffle_s)


@dataclass
class Delivery:
    """One webhook, with its attempts as (started, finished, HTTP status or None)."""

    webhook: dict[str, Any]
    url: str
    attempts: list[tuple[datetime, datetime, int | None]] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def status(self) -> str:
        return "delivered" if any(_is_success(status) for _, _, status in self.attempts) else "failed"

    def as_json(self) -> dict[str, Any]:
        """As the API tells it, the latest attempt first."""
        return {
            "id": self.id,
            "record_type": "webhook_delivery",
            "status": self.status,
            "webhook": self.webhook,
            "started_at": timestamp_text(self.attempts[0][0]),
            "finished_at": timestamp_text(self.attempts[-1][1]),
            "attempts": [self._attempt(*attempt) for attempt in reversed(self.attempts)],
        }

    def _attempt(self, started: datetime, finished: datetime, status: int | None) -> dict[str, Any]:
        http: dict[str, Any] = {"request": {"url": self.url}}
        if status is not None:
            http["response"] = {"status": status}
        return {
            "status": "delivered" if _is_success(status) else "failed",
            "started_at": timestamp_text(started),
            "finished_at": timestamp_text(finished),
            "http": http,
        }


class DeliveryBook:
    """All deliveries that are over, oldest first; the oldest go."""

    def __init__(self) -> None:
        self._deliveries: deque[Delivery] = deque(maxlen=KEPT_MAX)

    def add(self, delivery: Delivery) -> None:
        """Note down one that is over; it has had an attempt."""
        self._deliveries.append(delivery)

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The answer to `GET /v2/webhook_deliveries`, newest first."""
        found = [delivery for delivery in reversed(self._deliveries) if _matches(delivery, query)]
        number = max(_number(query, "page[number]", 1), 1)
        size = min(max(_number(query, "page[size]", PAGE_SIZE_DEFAULT), 1), PAGE_SIZE_MAX)
        shown = found[(number - 1) * size : number * size]
        meta = {
            "page_number": number,
            "page_size": size,
            "total_pages": -(-len(found) // size),
            "total_results": len(found),
        }
        return {"data": [delivery.as_json() for delivery in shown], "meta": meta}


def _matches(delivery: Delivery, query: Mapping[str, str]) -> bool:
    started, finished = delivery.attempts[0][0], delivery.attempts[-1][1]
    types = query.get("filter[event_type]")
    return (
        query.get("filter[status][eq]", delivery.status) == delivery.status
        and (types is None or delivery.webhook["event_type"] in types.split(","))
        and _within(started, query, "filter[started_at]")
        and _within(finished, query, "filter[finished_at]")
    )


def _within(moment: datetime, query: Mapping[str, str], name: str) -> bool:
    first, last = query.get(f"{name}[gte]"), query.get(f"{name}[lte]")
    return (first is None or moment >= datetime.fromisoformat(first)) and (
        last is None or moment <= datetime.fromisoformat(last)
    )


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300
