"""Who may in: every kind of request with and without what it needs. Seen on the wire in tests/e2e/test_auth.py."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.access import Access, Refused, find_token, needed_right
from actors.gateway.addresses import parse_address
from actors.wire.request import RequestHead, parse_head, route
from config import load
from config.tokens import make_token

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
SECRET, STREAM_TOKEN = "PyOmnDUJYsHRqJxz0o4yt1ABCW9Nn0xY", "Zq7-stream-token-W4xk"
NOW = 1_800_000_000.0
ON = {
    "PATCHBAY_AUTH__ENABLED": "true",
    "PATCHBAY_AUTH__JWT_SECRET": SECRET,
    "PATCHBAY_TELNYX__STREAM_TOKEN": STREAM_TOKEN,
}


def head(target: str, *lines: str, upgrade: bool = False) -> RequestHead:
    extra = "".join(f"{line}\r\n" for line in lines) + (UPGRADE if upgrade else "")
    return parse_head(f"GET {target} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())


def token(*can: str, calls: tuple[str, ...] = ("a",), now: float = NOW) -> str:
    return make_token(SECRET, algorithm="HS256", subject="me", calls=calls, can=can, now=now, ttl_s=60)


def decide(request: RequestHead, address: str = "192.0.2.1", **environ: str) -> dict[str, Any] | None:
    settings = load({"PATCHBAY_RUN_DIR": "/nonexistent", **environ})
    return Access(settings).decide(request, route(request), parse_address(address), NOW)


def status(request: RequestHead, address: str = "192.0.2.1", **environ: str) -> int:
    """The status of the refusal; 0: let in."""
    try:
        decide(request, address, **environ)
    except Refused as refusal:
        return refusal.status
    return 0


@pytest.mark.parametrize(
    ("target", "upgrade", "right"),
    [
        ("/audio-stream", True, "listen"),
        ("/frontend-audio", True, "listen"),
        ("/audio-stream?role=telnyx", True, "stream"),
        ("/call-events", True, "events"),
        ("/events", False, "events"),
        ("/api/calls/telnyx/webhook", False, None),
        ("/healthz", False, None),
        ("/readyz", False, None),
        ("/", False, "admin"),
        ("/metrics", False, "admin"),
        ("/api/calls", False, "admin"),
        ("/healthz/more", False, "admin"),
        ("/anything", False, "admin"),
    ],
)
def test_the_right_that_is_needed(target: str, upgrade: bool, right: str | None) -> None:
    """By path and kind; what is not known to be open is the administrator's."""
    request = head(target, upgrade=upgrade)
    assert needed_right(request, route(request)) == right
    if right is not None:
        assert status(request, **ON) == 401


def test_off_everybody_may() -> None:
    """And there are no claims, which is how actors know."""
    for target in ("/audio-stream", "/audio-stream?role=telnyx", "/call-events"):
        assert decide(head(target, upgrade=True)) is None
    assert decide(head("/metrics")) is None


def test_on_there_are_always_claims() -> None:
    """Also for open requests: actors must never take them for those of a Patchbay without authentication."""
    assert decide(head("/healthz"), **ON) is not None
    assert decide(head("/calls/telnyx/webhook"), **ON) is not None


def test_the_stream_token() -> None:
    """By header or query; never by Authorization, and never as a beginning of the right one."""
    assert decide(head(f"/audio-stream?role=telnyx&token={STREAM_TOKEN}", upgrade=True), **ON) == {
        "sub": "telnyx",
        "calls": "*",
        "can": ["stream"],
    }
    name = "x-telnyx-streaming-auth-token"
    for given_token, expected in (
        (STREAM_TOKEN, 0),
        (STREAM_TOKEN[:-1], 401),
        ("", 401),
        ("é", 401),
        (token("listen"), 403),
    ):
        assert status(head("/audio-stream", f"{name}: {given_token}", upgrade=True), **ON) == expected
    assert status(head("/audio-stream?role=telnyx", f"Authorization: Bearer {STREAM_TOKEN}", upgrade=True), **ON) == 401


def test_a_stream_token_of_one_call() -> None:
    """Is good for that call, and the stream does not end with it."""
    claims = decide(head(f"/audio-stream?role=telnyx&token={token('stream')}", upgrade=True), **ON)
    assert claims == {"sub": "me", "calls": ["a"], "can": ["stream"]}


def test_where_streams_come_from() -> None:
    """An allow-list of addresses, with authentication and without; it is for streams alone."""
    networks = {"PATCHBAY_TELNYX__STREAM_NETWORKS": "192.76.120.128/29, 2001:db8::/32"}
    stream = head("/audio-stream?role=telnyx", upgrade=True)
    assert status(stream, "192.76.120.130", **networks) == 0
    assert status(stream, "2001:db8::1", **networks) == 0
    assert status(stream, "192.76.120.140", **networks) == 403
    assert status(head("/audio-stream", upgrade=True), "192.76.120.140", **networks) == 0


def test_calls_of_a_token() -> None:
    """All that are named must be its calls; naming none means its calls, if it has any."""

    def asked(query: str, *calls: str) -> int:
        return status(head(f"/audio-stream?{query}&token={token('listen', calls=calls)}", upgrade=True), **ON)

    assert asked("call_control_id=a", "a", "b") == 0
    assert asked("call_control_id=a&call_id=b&callId=a", "a", "b") == 0
    assert asked("call_control_id=a&callId=c", "a", "b") == 403
    assert asked("call_control_id=c", "*") == 0
    assert asked("track=both", "a") == 0
    assert asked("track=both") == 403
    assert asked("stream_id=s", "a") == 0


def test_origins() -> None:
    """Checked wherever a browser may be, with authentication or without; not where Telnyx is."""
    listed = {"PATCHBAY_AUTH__ALLOWED_ORIGINS": "https://app.example.com/"}
    for line, expected in (("X: y", 0), ("Origin: https://app.example.com", 0), ("Origin: https://evil.example", 403)):
        assert status(head("/audio-stream", line, upgrade=True), **listed) == expected
        assert status(head("/calls", line), **listed) == expected
    assert status(head("/audio-stream?role=telnyx", "Origin: https://evil.example", upgrade=True), **listed) == 0


def test_where_a_token_may_be() -> None:
    """Query, Authorization, subprotocol, in this order; a cookie for pages only."""
    assert find_token(head("/x?token=a", "Authorization: Bearer b")) == "a"
    assert find_token(head("/x?token=", "Authorization: bearer  b ")) == "b"
    assert find_token(head("/x", "Authorization: Basic Yjpj")) is None
    assert find_token(head("/x", "Sec-WebSocket-Protocol: a, patchbay.token.c", upgrade=True)) == "c"
    assert find_token(head("/x", "Cookie: a=b; patchbay_token=d")) == "d"
    assert find_token(head("/x", "Cookie: patchbay_token=d", upgrade=True)) is None
    assert find_token(head("/x", "Cookie: \x7f=;=;;")) is None


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1))
def test_no_refusal_repeats_a_token(text: str) -> None:
    """Reasons go into logs."""
    with pytest.raises(Refused) as caught:
        decide(head("/call-events", f"Authorization: Bearer {text}", upgrade=True), **ON)
    assert len(text) < 12 or text not in str(caught.value)


def test_real_time() -> None:
    """A token made now is good now."""
    made = token("events", now=time.time())
    settings = load({"PATCHBAY_RUN_DIR": "/nonexistent", **ON})
    request = head(f"/call-events?token={made}", upgrade=True)
    assert Access(settings).decide(request, route(request), None, time.time())
