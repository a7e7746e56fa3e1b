from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from patchbay.protocol import legacy
from patchbay.protocol.legacy import ListenQuery, TalkClear, TalkMark, TalkOther, TalkPing, TalkStop
from patchbay.protocol.lenient_json import Malformed
from patchbay.protocol.query import BadQuery


def test_the_welcome_is_the_contract_s_to_the_letter() -> None:
    assert legacy.connected_message() == (
        b'{"event":"connected","message":"Connected to audio stream",'
        b'"config":{"codec":"PCMU","sampleRate":8000,"channels":1}}'
    )
    config = {"codec": "L16", "sampleRate": 16000, "channels": 2}
    assert json.loads(legacy.connected_message("L16", 16000, 2))["config"] == config


def test_audio_as_text() -> None:
    message = legacy.media_json(4, 's"1', "inbound", 2, 5, b"\0\1\2", "PCMA")
    assert message == (
        b'{"event":"media","sequence_number":"4","stream_id":"s\\"1",'
        b'"media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"AAEC","format":"PCMA"}}'
    )
    bare = json.loads(legacy.media_json(None, None, "outbound", None, None, b"", "PCMU"))
    assert (bare["sequence_number"], bare["stream_id"]) == ("", None)
    assert (bare["media"]["chunk"], bare["media"]["timestamp"]) == ("", "")


def test_an_error() -> None:
    expected = {"event": "error", "payload": {"code": 4, "title": "t", "detail": 'd"'}}
    assert json.loads(legacy.error_message(4, "t", 'd"')) == expected


@given(st.binary(max_size=400))
def test_talk_is_decoded(payload: bytes) -> None:
    encoded = base64.b64encode(payload).decode()
    for text in (encoded, encoded.rstrip("="), encoded + "\n"):
        message = json.dumps({"event": "media", "media": {"payload": text, "x": 1}, "y": 2})
        assert legacy.decode_talk(message.encode()) == payload


def test_other_events_of_a_talker() -> None:
    assert legacy.decode_talk(b'{"event":"stop"}') == TalkStop()
    assert legacy.decode_talk(b'{"event":"hello","n":1}') == TalkOther("hello")
    assert legacy.decode_talk(b'{"event":"clear","streamSid":"x"}') == TalkClear()
    assert legacy.decode_talk(b'{"event":"mark","mark":{"name":"a"}}') == TalkMark("a")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (b"ping", b'{"type":"pong"}'),
        (b" PING\n", b'{"type":"pong"}'),
        (b'{"type":"ping"}', b'{"type":"pong"}'),
        (b'{"type":"ping","sent":7}', b'{"type":"pong","sent":7}'),
        (b'{"event":"ping","id":"x"}', b'{"event":"pong","id":"x"}'),
        (b'{"event":"ping","id":"%b"}' % (b"x" * 300), b'{"event":"pong"}'),
    ],
)
def test_pings_are_answered(message: bytes, answer: bytes) -> None:
    assert legacy.decode_talk(message) == TalkPing(answer)


@pytest.mark.parametrize(
    "message",
    [
        b"keepalive",
        b"pong",
        b"heartbeat",
        b'{"type":"pong"}',
        b'{"type":"keepalive"}',
        b'{"event":"keepalive"}',
        b'{"event":"connected"}',
        b'{"event":"start"}',
    ],
)
def test_what_only_keeps_a_connection_open(message: bytes) -> None:
    assert isinstance(legacy.decode_talk(message), TalkOther)


@pytest.mark.parametrize("mark", [None, [], {}, {"name": ""}, {"name": 7}, {"name": "x" * 257}])
def test_marks_without_a_name(mark: object) -> None:
    with pytest.raises(Malformed):
        legacy.decode_talk(json.dumps({"event": "mark", "mark": mark}).encode())


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b'{"event":"media","media":{"payload":7,"x":"\xff"}}', "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "event is missing"),
        (b'{"type":"media","payload":""}', "event is missing"),
        (b'{"event":"media"}', "media is not an object"),
        (b'{"event":"media","media":{}}', "media.payload is not text"),
        (b'{"event":"media","media":{"payload":"!"}}', "media.payload is not base64"),
    ],
)
def test_malformed_talk_says_why(message: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        legacy.decode_talk(message)
    assert caught.value.reason == reason


def test_what_nobody_needs_costs_no_talk() -> None:
    """A page that says half an emoji is understood; its text as such must be UTF-8 (the WebSocket closes with 1007)."""
    message = b'{"event":"media","user":"\\ud83d","n":1e999,"media":{"payload":"AA=="}}'
    assert legacy.decode_talk(message) == b"\0"
    assert legacy.decode_talk(b'{"event":"stop","why":"\\ude00"}') == TalkStop()


@given(st.binary(max_size=100))
@example(b'{"event":"start","start":{"":{}}}')
def test_any_bytes_from_a_talker(message: bytes) -> None:
    if legacy.looks_like_telnyx(
        message
    ):  # chance, or hypothesis, which knows what is written in other tests, may say so
        assert json.loads(message)["event"] in ("connected", "start")
    with contextlib.suppress(Malformed):
        legacy.decode_talk(message)


@pytest.mark.parametrize(
    ("frame", "is_telnyx"),
    [
        ({"event": "connected", "version": "1.0.0"}, True),
        ({"event": "start", "stream_id": "s", "start": {"call_control_id": "v3:a"}}, True),
        ({"event": "connected", "message": "hello"}, False),
        ({"event": "start"}, False),
        ({"event": "media", "media": {"payload": ""}}, False),
        (["event", "start"], False),
    ],
)
def test_telling_telnyx(frame: Any, is_telnyx: bool) -> None:
    assert legacy.looks_like_telnyx(json.dumps(frame).encode()) is is_telnyx


def test_a_query_that_asks_for_nothing() -> None:
    assert ListenQuery.parse({}) == ListenQuery((), (), "inbound", "binary", None)
    assert ListenQuery.parse({"track": [""], "format": [], "since": [""], "x": ["y"]}) == ListenQuery()


def test_a_query_that_asks_for_everything() -> None:
    query = {
        "call_id": ["v3:b", "v3:a"],
        "call_control_id": ["v3:a"],
        "callId": ["v3:c"],
        "stream_id": ["s", "s"],
        "track": ["inbound", "both"],
        "format": ["json"],
        "since": ["12"],
    }
    expected = ListenQuery(("v3:a", "v3:b", "v3:c"), ("s",), "both", "json", "12")
    assert ListenQuery.parse(query) == expected


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"track": ["left"]}, "track must be one of inbound, outbound, both"),
        ({"format": ["mp3"]}, "format must be one of binary, json"),
        ({"call_control_id": [""]}, "call_control_id is empty or too long"),
        ({"callId": ["x" * 513]}, "call_control_id is empty or too long"),
        ({"stream_id": [""]}, "stream_id is empty or too long"),
        ({"call_id": [str(n) for n in range(201)]}, "more than 200 of call_control_id"),
        ({"CallSid": ["v3:a"]}, "'CallSid' is not known: it is call_control_id"),
        ({"since": ["9" * 65]}, "since is too long"),
    ],
)
def test_a_bad_query_says_why(query: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(BadQuery, match=f"^{reason}$"):
        ListenQuery.parse(query)
