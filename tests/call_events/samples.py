"""Events for tests."""

from __future__ import annotations

import time
from typing import Any

import orjson

from actors.call_events.events import Arrival, parse_webhook

NOW_US = 1_767_225_600_000_000


def arrival(name: object, call: str | None = "v3:a", kind: str = "call.answered", **fields: Any) -> Arrival:
    """A webhook that has just come; `note` makes it long."""
    payload = {"call_control_id": call, **{key: fields[key] for key in ("note",) if key in fields}}
    data = {"event_type": kind, "id": str(name), "payload": payload, "occurred_at": "2026-01-01T00:00:00Z"}
    body = orjson.dumps({"data": data, "meta": {"attempt": 1}})
    received_at = fields.get("received_at", time.time_ns() // 1000)
    return Arrival(parse_webhook(body, received_at=""), "telnyx", body, received_at)
