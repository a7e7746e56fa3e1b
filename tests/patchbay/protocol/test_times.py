"""Times at the edges of their range: whatever is accepted can be written, read again, compared and added to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.call_events.calls.call_state import CallState, Register, merge, of_event, view
from actors.call_events.events import parse_inside, parse_webhook
from patchbay.protocol.times import AHEAD_MAX, LATEST, microseconds, occurred_at, timestamp, utc, utc_seconds

NOW = "2026-01-01T00:00:00.000000Z"
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(timezones=zones | st.just(UTC) | st.none())
ODD = (
    "",
    "yesterday",
    "9999",
    "2026-13-01T00:00:00Z",
    "2026-01-01T24:00:01Z",
    "-1",
    "0",
    "1e300",
    "2026-01-01T00:00:60Z",
)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2018-02-02T22:25:27.521992Z", 1517610327521992),
        ("2018-02-02T22:25:27Z", 1517610327000000),
        ("2018-02-02T23:25:27+01:00", 1517610327000000),
        ("2018-02-02T22:25:27", 1517610327000000),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("9999-01-01T00:00:00Z", LATEST),
        ("yesterday", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00+23:59", 0),
        ("9999-12-31T23:59:59-14:00", 0),
        ("9999-01-01T00:00:00.000001Z", 0),
    ],
)
def test_times(text: str, at: int) -> None:
    assert microseconds(text) == at


@given(st.integers(1, LATEST))
@example(1)
@example(LATEST)
def test_times_come_back(at: int) -> None:
    assert microseconds(timestamp(at)) == at


@given(st.integers())
def test_every_number_can_be_written(at: int) -> None:
    assert datetime.fromisoformat(timestamp(at)).year in range(1970, 10_000)


@given(moments.map(datetime.isoformat) | st.text(max_size=80) | st.sampled_from(ODD))
@example("9999-12-31T23:59:59-14:00")
@example("0001-01-01T00:00:00+14:00")
def test_whatever_an_event_says_its_call_can_be_shown(text: str) -> None:
    """From what is told of it in one place up to the snapshot for clients, and the same when it is read again."""
    data = {"event_type": "call.answered", "id": "1", "occurred_at": text, "payload": {"call_control_id": "v3:a"}}
    body = orjson.dumps({"data": data})
    event = parse_webhook(body, received_at=NOW)
    assert 0 < microseconds(event.occurred_at) <= microseconds(NOW) + AHEAD_MAX
    assert parse_webhook(body, received_at=event.occurred_at) == event
    told = of_event(event)
    assert told is not None
    assert orjson.loads(orjson.dumps(view(merge(told, told))))["answered_at"]
    datetime.fromisoformat(event.occurred_at)


@given(st.integers(), st.integers())
def test_a_state_of_any_times_can_be_shown(first: int, last: int) -> None:
    """A journal may hold some that are older than this rule."""
    assert view(CallState("a", 3, first, last, answered=Register(last, "1", True)))["last_event_at"]


@pytest.mark.parametrize("odd", [*ODD[1:], 7, 1e300, None, [], {}, "2" * 300, "2026-01-03T00:00:00Z"])
def test_what_is_no_time_of_the_past_is_that_of_arrival(odd: object) -> None:
    """And it is named, but for one that nobody gave."""
    mended: list[str] = []
    assert occurred_at(odd, NOW, mended) == NOW
    assert mended == ([] if odd is None else ["occurred_at"])
    frame = orjson.dumps({"id": "1", "type": "stream.dtmf", "occurred_at": odd, "payload": {}})
    assert parse_inside(frame, received_at=NOW).occurred_at == NOW


def test_a_clock_that_is_a_little_wrong_is_believed() -> None:
    for text in ("2026-01-01T23:59:00Z", "2026-01-01", "2020-06-01T12:00:00+14:00"):
        assert occurred_at(text, NOW, []) == text


def test_seconds_as_text() -> None:
    """Cut, not rounded; no second is beyond the year 9999."""
    assert utc(0.25) == "1970-01-01T00:00:00.250Z"
    assert utc(1_767_225_599.9999) == "2025-12-31T23:59:59.999Z"
    assert utc_seconds(1_767_225_599.9999) == "2025-12-31T23:59:59Z"
    assert utc_seconds(1e20) == "9999-12-31T23:59:59Z"
