from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime

import pytest

from simulator import signing, webhooks
from simulator.clips import Silence
from simulator.codecs import PCMA
from simulator.options import CallOptions
from tests.simulator.helpers import identity

AT = datetime(2025, 6, 5, 8, 54, 19, 698408, tzinfo=UTC)
WHO = identity()
IDS = {"call_control_id", "call_leg_id", "call_session_id", "connection_id", "client_state"}


def hooks(*tracks: str) -> webhooks.CallHooks:
    options = CallOptions(
        url="wss://example.org/audio-stream?token=secret",
        identity=WHO,
        codec=PCMA,
        tracks={track: Silence(PCMA) for track in tracks},
    )
    return webhooks.CallHooks.of(options, AT)


def test_the_envelope_is_telnyx_s() -> None:
    body = webhooks.envelope(
        "call.answered", {"a": 1}, event_id="id", occurred_at=AT, attempt=2, delivered_to="https://example.org/hook"
    )
    assert json.loads(body) == {
        "data": {
            "record_type": "event",
            "event_type": "call.answered",
            "id": "id",
            "occurred_at": "2025-06-05T08:54:19.698408Z",
            "payload": {"a": 1},
        },
        "meta": {"attempt": 2, "delivered_to": "https://example.org/hook"},
    }


def test_payloads_have_the_common_fields_and_their_own() -> None:
    found = hooks("inbound")
    assert IDS | {"from", "to", "direction", "state", "start_time"} <= set(found.initiated())
    assert found.initiated()["direction"] == "incoming"
    answered = found.answered()
    assert (answered["state"], answered["codec"], answered["sampling_rate"]) == ("answered", "PCMA", 8000)
    assert answered["start_time"] == "2025-06-05T08:54:19.698408Z"


def test_streaming_payloads_have_no_numbers_and_no_secret() -> None:
    found = hooks("inbound", "outbound")
    assert set(found.streaming()) == IDS | {"stream_url"}
    assert found.streaming()["stream_url"] == "wss://example.org/audio-stream"
    failed = found.streaming_failed("connection_failed")
    assert failed["stream_params"] == {"stream_url": "wss://example.org/audio-stream", "track": "both_tracks"}
    assert failed["stream_id"] == WHO.stream_id


def test_hangup_says_its_statistics_in_strings() -> None:
    hangup = hooks("outbound").hangup(AT, {"frames_sent": 7, "talk_frames": 3})
    assert hangup["hangup_cause"] == "normal_clearing"
    assert hangup["call_quality_stats"]["inbound"]["packet_count"] == "7"
    assert hangup["call_quality_stats"]["outbound"]["packet_count"] == "3"


def test_headers_without_and_with_a_signature() -> None:
    plain = {"Content-Type": "application/json", "User-Agent": "telnyx-webhooks"}
    assert webhooks.headers(b"body", 1700000000, None) == plain
    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return b"s" * 64

    found = webhooks.headers(b"body", 1700000000, sign)
    assert signed == [b"1700000000|body"]
    assert found["Telnyx-Timestamp"] == "1700000000"
    assert base64.b64decode(found["Telnyx-Signature-Ed25519"]) == b"s" * 64


@pytest.mark.parametrize(
    ("status", "again"),
    [(None, True), (408, True), (429, True), (500, True), (503, True), (200, False), (400, False), (401, False)],
)
def test_what_is_sent_again(status: int | None, again: bool) -> None:
    assert webhooks.is_retried(status) is again


@pytest.mark.parametrize(("text", "complaint"), [("!", "not base64"), ("AAAA", "3 bytes, not 32")])
def test_a_key_that_is_none_is_refused_without_being_shown(text: str, complaint: str) -> None:
    with pytest.raises(signing.SigningError, match=complaint):
        signing.signing_key(text)


def test_signing_without_the_library_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(signing.SigningError, match="cryptography, which is not installed"):
        signing.signing_key(base64.b64encode(bytes(32)).decode())
