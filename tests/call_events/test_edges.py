"""What was read in part is kept as it was received, and read again it is the same."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import orjson
import pytest

from actors.call_events.entry import Interest
from actors.call_events.events import Arrival, parse_webhook
from actors.call_events.journal.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

NOW, NOW_US = "2026-01-01T00:00:00.000000Z", 1_767_225_600_000_000
BODIES = {
    "half an emoji": b'{"data":{"event_type":"call.hangup","id":"1","payload":{"call_control_id":"v3:a","from":"\\ud83d"}}}',
    "Latin-1, and a mark before": b'\xef\xbb\xbf{"data":{"event_type":"x","id":"\xfc","payload":{"call_control_id":"v3:a"}}}',
    "beyond all time": b'{"data":{"event_type":"x","occurred_at":"9999-12-31T23:59:59-14:00","payload":{"call_control_id":"v3:a"}}}',
    "before it": b'{"data":{"event_type":"x","occurred_at":"0001-01-01T00:00:00+14:00","payload":{"call_control_id":"v3:a"}}}',
    "in the future": b'{"data":{"event_type":"call.hold","occurred_at":"2030-01-01","payload":{"call_control_id":"v3:a"}}}',
    "deep and great": b'{"data":{"event_type":"x","payload":{"call_control_id":"v3:a","n":1e999,"d":'
    + b"[" * 300
    + b"]" * 300
    + b"}}}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_same_again(tmp_path: Path, body: bytes) -> None:
    """By those who hear it now, who come with `since`, and who read the file."""
    event = parse_webhook(body, received_at=NOW)
    with closing(Journal(tmp_path / "j")) as kept:
        first = kept.last_offset
        done = kept.commit([Arrival(event, "telnyx", body, NOW_US)] * 2, first)
        assert done.taken == [True, False]
        again = kept.page(Interest(calls=frozenset({"v3:a"})), first, 10, 10**6).entries
        assert again == done.entries
        assert orjson.loads(again[0].text)["payload"]["call_control_id"] == "v3:a"
        assert kept._db.execute("SELECT body FROM events").fetchone() == (body,)
