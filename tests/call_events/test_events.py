"""Events: Telnyx's envelope in, the wire contract's form out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.call_events.calls.call_state import of_event
from actors.call_events.events import Event, MalformedEvent, OldApi, encode, parse_inside, parse_webhook

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
        b'{"data":{"event_type":"x"}',
        b'{"data":{"event_type":"x","payload":null}}',
        b'{"data":{"event_type":"x","payload":"text"}}',
        b'{"data":{"event_type":"call.\\ud83d"}}',
        b'{"data":{"event_type":"call.\xfc"}}',
        b'{"data":{"event_type":"x","payload":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}}",
        b"[" * 100_000,
    ],
)
def test_what_is_not_the_envelope_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedEvent) as caught:
        parse_webhook(body, received_at=NOW)
    assert "\n" not in str(caught.value)


UNREADABLE = {
    "half an emoji": b'"\\ud83d"',
    "Latin-1": b'"M\xfcller"',
    "a control character": b'"\n"',
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "out of range": b"1e999",
    "400 digits": b"9" * 400,
    "deep": b"[" * 500 + b"]" * 500,
}
ODD = {
    **UNREADABLE,
    "null": b"null",
    "text": b'"text"',
    "a number": b"7",
    "a list": b"[]",
    "long": b'"%b"' % (b"i" * 1000),
}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_what_nobody_needs_costs_no_webhook(value: bytes) -> None:
    """The call's hangup is a hangup; what clients get is JSON and UTF-8."""
    body = (
        b'{"data":{"event_type":"call.hangup","id":"1","occurred_at":"2025-12-31T00:00:00Z","more":%b,'
        b'"payload":{"call_control_id":"v3:a","from":%b,"custom_headers":[{"value":%b}]}},"meta":%b}'
    )
    event = parse_webhook(body % (value, value, value, value), received_at=NOW)
    assert (event.id, event.type, event.call_control_id) == ("1", "call.hangup", "v3:a")
    assert orjson.loads(encode(event, offset=1, epoch="e"))["payload"]["call_control_id"] == "v3:a"
    assert of_event(event) is not None


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"\n"])
def test_a_byte_order_mark_costs_no_webhook(before: bytes) -> None:
    assert parse_webhook(before + orjson.dumps(ANSWERED), received_at=NOW).call_control_id == "v3:abc"


@pytest.mark.parametrize("field", ["id", "occurred_at"])
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_what_can_be_made_up_costs_no_webhook(field: str, value: bytes) -> None:
    """The same for a retry; what was there and could not be read is named."""
    retries = [
        b'{"data":{"event_type":"x","%b":%b},"meta":{"attempt":%d}}' % (field.encode(), value, at) for at in (1, 2)
    ]
    mended: list[str] = []
    first, second = (parse_webhook(body, received_at=NOW, mended=mended) for body in retries)
    assert first == second
    assert first.occurred_at == NOW
    if (field, value) not in [("id", b"null"), ("id", b'"text"'), ("occurred_at", b"null")]:
        assert mended


def test_ids_that_can_not_be_read_are_not_one_and_the_same() -> None:
    events = [
        parse_webhook(b'{"data":{"event_type":"%b","id":"\xff"}}' % name, received_at=NOW)
        for name in (b"call.a", b"call.b")
    ]
    assert events[0].id != events[1].id


@pytest.mark.parametrize("call", [b'"\\ud83d"', b'"v3:\xff"', b"7", b"[]", b'"%b"' % (b"x" * 513)])
def test_a_call_that_can_not_be_read_is_none(call: bytes) -> None:
    """Rather than another one."""
    event = parse_webhook(b'{"data":{"event_type":"x","payload":{"call_control_id":%b}}}' % call, received_at=NOW)
    assert event.call_control_id is None


@pytest.mark.parametrize(
    "body",
    [
        {"record_type": "event", "event_type": "call_initiated", "id": "1", "payload": {"call_control_id": "v2:a"}},
        {"event_type": "call.hangup", "data": None},
        {"metadata": {"event": {"event_type": "call_hangup"}}},
    ],
)
def test_the_older_api_is_told_apart(body: dict[str, object]) -> None:
    """In words that say what to set."""
    with pytest.raises(OldApi, match="API v2"):
        parse_webhook(orjson.dumps(body), received_at=NOW)


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
