from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.audio.media_format import MediaFormat, normalise_encoding
from patchbay.protocol import telnyx, telnyx_commands
from patchbay.protocol.lenient_json import Malformed

AUDIO = bytes(range(160))
STREAM_ID = "32DE0DEA-53CB-4B21-89A4-9E1819C043BC"
BODY_KEYS = (
    *("call_control_id", "media_format", "encoding", "sample_rate", "channels"),
    *("track", "chunk", "payload", "name", "digit", "code"),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def packed(frame: Any) -> bytes:
    return json.dumps(frame).encode()


def media_frame(**body: Any) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": base64.b64encode(AUDIO).decode(), **body}}


def start_frame(**fields: Any) -> dict[str, Any]:
    return {"event": "start", "start": {"call_control_id": "v3:abc", **fields}}


def read_media(frame: Any) -> telnyx.Media:
    media = telnyx.decode(packed(frame))
    assert isinstance(media, telnyx.Media)
    return media


def read_start(frame: Any) -> telnyx.Start:
    start = telnyx.decode(packed(frame))
    assert isinstance(start, telnyx.Start)
    return start


@pytest.mark.parametrize("number", [str, int, float])
def test_media_with_numbers_of_every_kind(number: Any) -> None:
    frame = media_frame(track="outbound", chunk=number(2), timestamp=number(5))
    frame |= {"sequence_number": number(4), "stream_id": STREAM_ID}
    expected = telnyx.Media(AUDIO, "outbound", 2, 5, STREAM_ID, 4)
    assert read_media(frame) == expected
    assert read_media(dict(reversed(frame.items()))) == expected


def test_media_with_nothing_but_a_payload() -> None:
    expected = telnyx.Media(AUDIO, "inbound", None, None, None, None)
    assert read_media(media_frame()) == expected
    assert read_media(media_frame(track=None, chunk=None, timestamp=None)) == expected
    assert read_media(media_frame(extra={"a": [1]}) | {"more": 1, "stream_id": 7}) == expected


@pytest.mark.parametrize("payload", ["AAEC\nAwQF\r\n", "AAECAwQF====", " AAECAwQF"])
def test_media_with_base64_slightly_off(payload: str) -> None:
    assert read_media(media_frame(payload=payload)).payload == bytes(range(6))
    assert read_media(media_frame(payload="AA", track="inbound_track")).payload == b"\0"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"event": "media"}, "media.payload is not text"),
        (media_frame(payload="%%%"), "media.payload is not base64"),
        (media_frame(track="both"), "media.track is neither inbound nor outbound"),
        (media_frame(track=["inbound"]), "media.track is neither inbound nor outbound"),
        ({}, "event is missing"),
        ({"event": 3}, "event is missing"),
        ([], "not a JSON object"),
        ({"event": "start"}, "start.call_control_id is missing or too long"),
        (start_frame(call_control_id="x" * 513), "start.call_control_id is missing or too long"),
        (start_frame(call_control_id=""), "start.call_control_id is missing or too long"),
        ({"event": "media", "media": 3}, "media.payload is not text"),
        (start_frame(call_control_id="a\ud83d"), "start.call_control_id is missing or too long"),
        ({"event": "mark", "mark": {}}, "mark.name is missing or too long"),
        ({"event": "mark", "mark": {"name": "x" * 513}}, "mark.name is missing or too long"),
        ({"event": "dtmf", "dtmf": {"digit": ""}}, "dtmf.digit is missing or too long"),
        ({"event": "dtmf", "dtmf": {"digit": True}}, "dtmf.digit is missing or too long"),
        ({"event": "dtmf", "dtmf": {"digit": "\ud83d"}}, "dtmf.digit is missing or too long"),
    ],
)  # fmt: skip
def test_malformed_frames_say_why(frame: Any, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        telnyx.decode(packed(frame))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff\xfe",
        b'{"event":' + b"[" * 100_000,
        b'{"event":"media","media":' + b'{"a":' * 100_000,
        b'{"event":"start","start":{"call_control_id":"\\ud800"}}',
        b'{"event":"x","n":1e999}',
    ],
)
def test_rubbish_is_malformed(message: bytes) -> None:
    with pytest.raises(Malformed):
        telnyx.decode(message)


# What can't be read, as it is in a message, and what `mended` calls it where the value is the whole field.
TEXTS = {
    "half an emoji": b'"\\ud83d"',
    "the other half": b'"a\\ude00b"',
    "two halves, the wrong way round": b'"\\ude00\\ud83d"',
    "Latin-1": b'"M\xfcller"',
    "a byte that is never UTF-8": b'"\xff"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "a control character": b'"\x01\n"',
}
VALUES = {
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "out of range": b"1e999",
    "4000 digits": b"1" + b"0" * 4000,
    "another type": b"[[]]",
    "an object": b'{"a":{}}',
    "true": b"true",
    "negative": b"-1",
    "empty": b'""',
}
NUMBERS = {**VALUES, **TEXTS, "a fraction": b"20.5", "a fraction in text": b'"20.5"', "spaces": b'" 7 "'}
PAYLOAD = b'"payload":"AAEC"'


@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("field", ["chunk", "timestamp", "sequence_number"])
def test_audio_is_read_without_a_number_that_can_not_be(field: str, value: bytes) -> None:
    """Only what can't be read is missing, and it is named."""
    given = {"chunk": b'"2"', "timestamp": b'"40"', "sequence_number": b'"5"'} | {field: value}
    body = b'{"chunk":%b,"timestamp":%b,%b}' % (given["chunk"], given["timestamp"], PAYLOAD)
    mended: list[str] = []
    media = telnyx.decode(
        b'{"event":"media","sequence_number":%b,"media":%b}' % (given["sequence_number"], body), mended
    )
    assert isinstance(media, telnyx.Media)
    assert media.payload == b"\0\1\2"
    read = {"chunk": media.chunk, "timestamp": media.timestamp, "sequence_number": media.sequence_number}
    assert read == {"chunk": 2, "timestamp": 40, "sequence_number": 5} | {field: None}
    assert mended


@pytest.mark.parametrize("value", [*VALUES.values(), *TEXTS.values()])
@pytest.mark.parametrize(
    "field", ["from", "to", "client_state", "call_session_id", "custom_parameters", "nobody_knows"]
)
def test_a_start_is_read_whatever_nobody_needs_says(field: str, value: bytes) -> None:
    """And what goes on to listeners is JSON that each of them can read."""
    message = b'{"event":"start","start":{"%b":%b,"call_control_id":"v3:a"},"stream_id":"s"}' % (field.encode(), value)
    start = telnyx.decode(message)
    assert isinstance(start, telnyx.Start)
    assert (start.call_control_id, start.stream_id) == ("v3:a", "s")
    assert orjson.loads(start.raw)["start"]["call_control_id"] == "v3:a"
    if is_json(message):
        assert start.raw is message


def is_json(message: bytes) -> bool:
    with contextlib.suppress(orjson.JSONDecodeError):
        orjson.loads(message)
        return True
    return False


@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("field", ["sample_rate", "channels"])
def test_a_format_is_read_without_a_number_that_can_not_be(field: str, value: bytes) -> None:
    """The codec's usual one."""
    message = b'{"event":"start","start":{"call_control_id":"a","media_format":{"encoding":"L16","%b":%b}}}'
    start = telnyx.decode(message % (field.encode(), value))
    assert isinstance(start, telnyx.Start)
    assert start.media_format == MediaFormat("L16", 16_000, 1)


@pytest.mark.parametrize("given_format", [{"channels": 0}, {"sample_rate": 0}, [], "PCMU", 7, {"encoding": 7}])
def test_a_format_that_says_nothing(given_format: Any) -> None:
    mended: list[str] = []
    start = telnyx.decode(packed(start_frame(media_format=given_format)), mended)
    assert isinstance(start, telnyx.Start)
    assert start.media_format == MediaFormat("PCMU", 8000, 1)
    assert mended


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n ", b"\xef\xbb\xbf\r\n"])
@pytest.mark.parametrize("kind", ["start", "stop", "media", "mark", "dtmf", "error"])
def test_a_byte_order_mark_costs_no_message(kind: str, before: bytes) -> None:
    """Nor do the null bytes of another language's strings behind it."""
    body = {"call_control_id": "a", "payload": "AA==", "name": "m", "digit": "5"}
    message = before + packed({"event": kind, kind: body}) + b"\0"
    assert not isinstance(telnyx.decode(message), telnyx.Unknown)


@pytest.mark.parametrize("value", TEXTS.values(), ids=TEXTS)
def test_what_is_passed_on_can_be_read(value: bytes) -> None:
    """Browsers close a connection on text that is not UTF-8, and some readers refuse half a pair."""
    for message in (b'{"event":"error","payload":{"detail":%b}}' % value, b'{"event":"stop","x":{"y":%b}}' % value):
        frame = telnyx.decode(message)
        assert isinstance(frame, telnyx.StreamError | telnyx.Stop)
        assert orjson.loads(frame.raw)


def test_the_future_is_not_mended() -> None:
    """Of an event that we don't know nobody can say that it was worth it: text that is none stays a fault."""
    for event in (b"\xff", b"tomorrow"):
        with pytest.raises(Malformed):
            telnyx.decode(b'{"event":"%b","x":"\xff"}' % event)


def test_of_a_key_that_is_there_twice_the_last_counts() -> None:
    message = b'{"event":"stop","event":"media","media":{"payload":"AA==","payload":"AQ=="}}'
    assert telnyx.decode(message) == telnyx.Media(b"\1")


def test_start_as_in_the_guide() -> None:
    frame = {
        "event": "start",
        "sequence_number": "1",
        "start": {
            "user_id": "3e6f995f-85f7-4705-9741-53b116d28237",
            "call_control_id": "v3:abc",
            "call_session_id": "session",
            "from": "+15551230000",
            "to": "+15551230001",
            "tags": [],
            "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
            "custom_parameters": {"customer_id": "customer_123"},
            "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
        },
        "stream_id": STREAM_ID,
    }
    message = json.dumps(frame, indent=1).encode()
    start = telnyx.decode(message)
    assert isinstance(start, telnyx.Start)
    assert start == telnyx.Start(
        call_control_id="v3:abc",
        stream_id=STREAM_ID,
        call_session_id="session",
        from_="+15551230000",
        to="+15551230001",
        client_state="aGF2ZSBhIG5pY2UgZGF5ID1d",
        sequence_number=1,
        media_format=MediaFormat("PCMA", 8000, 1),
        raw=message,
        digest=start.digest,
    )


def test_what_two_start_frames_say() -> None:
    """Is told by their digests: all but the sequence number counts, and no order of keys."""
    frame = start_frame()
    digest = read_start(frame).digest
    assert read_start({"sequence_number": "99", **dict(reversed(frame.items()))}).digest == digest
    for other in ({"from": "+1"}, {"custom_parameters": {"a": "b"}}, {"media_format": {"encoding": "PCMA"}}):
        assert read_start(start_frame(**other)).digest not in (digest, 0)


def test_start_with_the_least() -> None:
    start = read_start(start_frame())
    assert start.media_format == MediaFormat("PCMU", 8000, 1)
    assert (start.stream_id, start.call_session_id, start.from_, start.to) == (None,) * 4
    assert read_start(start_frame(**{"from": None, "media_format": None})).from_ is None


@pytest.mark.parametrize("rate", [0, 1, 7999, 48_001, 10**15])
@pytest.mark.parametrize("channels", [0, 3, 10**15])
def test_a_format_that_no_stream_has_is_the_usual(rate: int, channels: int) -> None:
    """Nobody can have a second of sound made of one sample, and the call is heard all the same."""
    mended: list[str] = []
    frame = start_frame(media_format={"encoding": "L16", "sample_rate": rate, "channels": channels})
    start = telnyx.decode(packed(frame), mended)
    assert isinstance(start, telnyx.Start)
    assert start.media_format == MediaFormat("L16", 16_000, 1)
    assert mended == ["media_format.sample_rate", "media_format.channels"]


@pytest.mark.parametrize(
    ("given_format", "expected"),
    [
        ({"encoding": "audio/x-mulaw"}, MediaFormat("PCMU", 8000, 1)),
        ({"encoding": "audio/x-alaw", "sample_rate": "8000"}, MediaFormat("PCMA", 8000, 1)),
        ({"encoding": "L16"}, MediaFormat("L16", 16000, 1)),
        ({"encoding": "L16", "sample_rate": 24000, "channels": "2"}, MediaFormat("L16", 24000, 2)),
        ({"encoding": "g722", "sample_rate": 8000.0}, MediaFormat("G722", 8000, 1)),
        ({"encoding": "AMR-WB"}, MediaFormat("AMR-WB", 16000, 1)),
        ({"encoding": None, "sample_rate": None, "channels": None}, MediaFormat("PCMU", 8000, 1)),
    ],
)
def test_media_formats(given_format: dict[str, Any], expected: MediaFormat) -> None:
    assert read_start(start_frame(media_format=given_format)).media_format == expected


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("PCMU", "PCMU"),
        ("pcmu", "PCMU"),
        (" audio/PCMU;rate=8000 ", "PCMU"),
        ("audio/basic", "PCMU"),
        ("mulaw", "PCMU"),
        ("G.711u", "PCMU"),
        ("audio/x-alaw", "PCMA"),
        ("alaw", "PCMA"),
        ("audio/L16", "L16"),
        ("linear16", "L16"),
        ("G722", "G722"),
        ("opus", "OPUS"),
        ("amr_wb", "AMR-WB"),
        ("AMRWB", "AMR-WB"),
        ("speex", "SPEEX"),
    ],
)
def test_encodings(name: str, encoding: str) -> None:
    assert normalise_encoding(name) == encoding


def test_connected() -> None:
    token = {"x-telnyx-streaming-auth-token": "secret"}
    frame = {"event": "connected", "version": "1.0.0", "connected": token}
    assert telnyx.decode(packed(frame)) == telnyx.Connected("1.0.0", "secret")
    assert telnyx.decode(b'{"event":"connected"}') == telnyx.Connected(None, None)


def test_stop_mark_dtmf_and_what_is_unknown() -> None:
    stop = packed({"event": "stop", "stop": {"call_control_id": "v3:abc"}, "stream_id": "s"})
    assert telnyx.decode(stop) == telnyx.Stop("v3:abc", "s", stop)
    bare_stop = b'{"event":"stop"}'
    assert telnyx.decode(bare_stop) == telnyx.Stop(None, None, bare_stop)
    mark = packed({"event": "mark", "stream_id": "s", "mark": {"name": "m"}})
    assert telnyx.decode(mark) == telnyx.Mark("m", "s")
    at = "2025-06-05T08:54:19.698408Z"
    for digit in ("1", 1):
        dtmf = packed({"event": "dtmf", "occurred_at": at, "dtmf": {"digit": digit}})
        assert telnyx.decode(dtmf) == telnyx.Dtmf("1", at, None, dtmf)
    new = packed({"event": "brand_new", "payload": [1]})
    assert telnyx.decode(new) == telnyx.Unknown("brand_new", new)


@pytest.mark.parametrize(
    "frame",
    [
        {"payload": {"code": 100005, "title": "rate_limit_reached", "detail": "Too many requests"}},
        {"error": {"code": "100005", "title": "rate_limit_reached", "detail": "Too many requests"}},
    ],
)
def test_errors_of_both_shapes(frame: dict[str, Any]) -> None:
    message = packed({"event": "error", "stream_id": "s", **frame})
    expected = (100005, "rate_limit_reached", "Too many requests", "s", message)
    assert telnyx.decode(message) == telnyx.StreamError(*expected)


def test_an_error_without_a_readable_code_is_still_an_error() -> None:
    message = packed({"event": "error", "error": {"code": "E7", "detail": "d"}})
    assert telnyx.decode(message) == telnyx.StreamError(None, "", "d", None, message)


def test_frames_to_telnyx() -> None:
    encoded = base64.b64encode(AUDIO).decode()
    media = {"event": "media", "media": {"payload": encoded}}
    assert json.loads(telnyx_commands.media_message(AUDIO, None)) == media
    assert json.loads(telnyx_commands.media_message(AUDIO, 'a"b')) == media | {"stream_id": 'a"b'}
    assert json.loads(telnyx_commands.clear_message()) == {"event": "clear"}
    assert json.loads(telnyx_commands.mark_message('é"')) == {"event": "mark", "mark": {"name": 'é"'}}


@given(st.binary(max_size=400), st.none() | st.text())
def test_media_survives_the_round_trip(payload: bytes, stream_id: str | None) -> None:
    if stream_id is not None:
        stream_id = stream_id.encode(errors="replace").decode()
    media = telnyx.decode(telnyx_commands.media_message(payload, stream_id))
    assert media == telnyx.Media(payload, stream_id=stream_id)


def decodes_or_is_malformed(message: bytes) -> None:
    with contextlib.suppress(Malformed):
        telnyx.decode(message)


@given(st.binary(max_size=200))
def test_any_bytes(message: bytes) -> None:
    decodes_or_is_malformed(message)


@given(JSON_VALUES)
def test_any_json(value: Any) -> None:
    decodes_or_is_malformed(packed(value))


@given(
    st.sampled_from(["media", "start", "stop", "mark", "dtmf", "error", "connected", "other"]),
    st.dictionaries(
        st.sampled_from(BODY_KEYS),
        JSON_VALUES,
    ),
    JSON_VALUES,
)
def test_any_body_of_any_event(event: str, body: dict[str, Any], number: Any) -> None:
    frame = {"event": event, event: body, "payload": body, "sequence_number": number}
    decodes_or_is_malformed(packed(frame))
    body["media_format"] = dict(body)
    decodes_or_is_malformed(packed(frame))
