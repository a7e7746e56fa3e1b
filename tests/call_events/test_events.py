"""Events: Telnyx's envelope in, the wire contract's form out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.call_events.events import Event, MalformedEvent, encode, parse_inside, parse_webhook

NOW = "2026-01-01T00:00:00.000000Z"

# From telnyx.md §5: the envelope of a webhook as Telnyx documents it.
ANSWERED: dict[str, dict[str, Any]] = {
    "data": {
        "record_type": "event",
        "event_type": "call.answered",
        "id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
        "occurred_at": "2018-02-02T22:25:27.521992Z",
        "payload": {"call_control_id": "v3:abc", "call_leg_id": "leg", "from": "+35319605860", "unknown": [1, None]},
    },
    "meta": {"attempt": 1, "delivered_to": "https://example.com/webhooks"},
}


def test_a_webhook_becomes_the_contracts_event() -> None:
    event = parse_webhook(orjson.dumps(ANSWERED), received_at=NOW)
    assert event.call_control_id == "v3:abc"
    assert orjson.loads(encode(event, offset=7, epoch="1")) == {
        "type": "call.answered",
        "id": "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0",
        "occurred_at": "2018-02-02T22:25:27.521992Z",
        "occurredAt": "2018-02-02T22:25:27.521992Z",
        "payload": ANSWERED["data"]["payload"],
        "offset": 7,
        "epoch": "1",
    }


def test_what_telnyx_leaves_out_is_made_up_and_the_same_for_a_retry() -> None:
    bodies = [b'{"data":{"event_type":"x"},"meta":{"attempt":%d}}' % attempt for attempt in (1, 2)]
    first, second = (parse_webhook(body, received_at=NOW) for body in bodies)
    assert first == second
    assert first.occurred_at == NOW
    assert first.payload == b"{}"
    assert first.call_control_id is None
    assert first.id != parse_webhook(b'{"data":{"event_type":"y"}}', received_at=NOW).id


def test_an_odd_time_is_replaced_by_the_time_of_arrival() -> None:
    odd_times: list[object] = [1, None, "", "x" * 1000, {}]
    for odd in odd_times:
        frame = orjson.dumps({"id": "1", "type": "dtmf", "occurred_at": odd, "payload": {}})
        assert parse_inside(frame, received_at=NOW).occurred_at == NOW


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"data":null}',
        b'{"data":[]}',
        b'{"data":{}}',
        b'{"data":{"event_type":""}}',
        b'{"data":{"event_type":7}}',
        b'{"data":{"event_type":"x","id":7}}',
        b'{"data":{"event_type":"x","id":""}}',
        b'{"data":{"event_type":"x","payload":null}}',
        b'{"data":{"event_type":"x","payload":"text"}}',
        b'{"data":{"event_type":"x","payload":{"a":NaN}}}',
        b'{"data":{"event_type":"x"}',
        b'{"data":{"event_type":"x","id":"' + b"i" * 1000 + b'"}}',
        b'{"data":{"event_type":"x","payload":{"a":' + b"[" * 800 + b"]" * 800 + b"}}}",
        b"[" * 100_000,
    ],
)
def test_what_is_not_the_envelope_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedEvent) as caught:
        parse_webhook(body, received_at=NOW)
    assert "\n" not in str(caught.value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.text(min_size=1, max_size=256),
    st.text(min_size=1, max_size=256),
    st.dictionaries(st.text(), json_values, max_size=5),
)
def test_any_payload_comes_out_as_it_went_in(event_id: str, event_type: str, payload: dict[str, object]) -> None:
    data = {"id": event_id, "event_type": event_type, "payload": payload, "occurred_at": NOW}
    written = encode(parse_webhook(orjson.dumps({"data": data}), received_at=""), offset=1, epoch="e")
    assert b"\n" not in written
    found = orjson.loads(written)
    assert (found["id"], found["type"], found["payload"]) == (event_id, event_type, payload)


@given(st.binary(max_size=300) | json_values.map(orjson.dumps))
def test_nothing_but_malformed_comes_of_anything(body: bytes) -> None:
    for parse in (parse_webhook, parse_inside):
        try:
            assert isinstance(parse(body, received_at=NOW), Event)
        except MalformedEvent:
            continue
