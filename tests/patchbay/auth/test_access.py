"""Who may in: every kind of request with and without what it needs. Seen on the wire in tests/e2e/test_auth.py."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import load
from config.tokens import make_token
from patchbay.auth.access import Access, Refused, find_token
from patchbay.auth.rights import needed_right
from patchbay.http.head import RequestHead, parse_head, route
from patchbay.net.addresses import parse_address

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
        "carrier": True,
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


EVERYWHERE = [
    ("/audio-stream", True), ("/frontend-audio", True), ("/audio-stream?role=telnyx", True), ("/call-events", True),
    ("/ws/call-events", True), ("/", False), ("/console.js", False), ("/calls", False), ("/api/events", False),
    ("/metrics", False), ("/api/calls/telnyx/webhook", False), ("/healthz", False), ("/nowhere", False),
]  # fmt: skip


@pytest.mark.parametrize(("target", "upgrade"), EVERYWHERE)
def test_without_authentication_only_pages_of_this_machine_may_connect(target: str, upgrade: bool) -> None:
    """Whatever they ask for; a program says no Origin."""
    listed = {"PATCHBAY_AUTH__ALLOWED_ORIGINS": "https://app.example.com"}
    for line, alone, with_list in (
        ("X: y", 0, 0),
        ("Origin: http://localhost:3000", 0, 0),
        ("Origin: http://127.0.0.1:5006", 0, 0),
        ("Origin: https://[::1]", 0, 0),
        ("Origin: https://app.example.com", 403, 0),
        ("Origin: https://evil.example", 403, 403),
        ("Origin: http://localhost.evil.example", 403, 403),
        ("Origin: null", 403, 403),
        ("Origin:", 403, 403),
        ("Origin: http://localhost\r\nOrigin: https://evil.example", 403, 403),
    ):
        asked = head(target, line, upgrade=upgrade)
        assert (status(asked), status(asked, **listed)) == (alone, with_list), line


@pytest.mark.parametrize(("target", "upgrade"), EVERYWHERE)
def test_with_authentication_only_pages_that_are_listed_may_connect(target: str, upgrade: bool) -> None:
    """Where anybody's may be listed. Telnyx shows a signature or a token instead, whatever its library says of
    itself."""
    listed = {**ON, "PATCHBAY_AUTH__ALLOWED_ORIGINS": "https://app.example.com/"}
    is_telnyx = "telnyx" in target or target == "/healthz"
    for line, expected in (
        ("Origin: https://evil.example", 403),
        ("Origin: http://localhost", 403),
        ("Origin: null", 403),
    ):
        with_list, without = (status(head(target, line, upgrade=upgrade), **environ) for environ in (listed, ON))
        assert with_list == without if is_telnyx else with_list == expected
        assert without in (0, 401)


def test_a_refused_page_is_told_what_to_set() -> None:
    with pytest.raises(Refused, match=r"https://evil.example.*PATCHBAY_AUTH__ALLOWED_ORIGINS"):
        decide(head("/audio-stream", "Origin: https://evil.example", upgrade=True))


PLUS, PLUS_TOKEN = "Zq7+stream/token=W4xk+", {**ON, "PATCHBAY_TELNYX__STREAM_TOKEN": "Zq7+stream/token=W4xk+"}
HEADER = "x-telnyx-streaming-auth-token"


@pytest.mark.parametrize("written", [PLUS, quote(PLUS), quote_plus(PLUS), PLUS.replace("+", "%2b", 1)])
def test_a_stream_token_with_a_plus(written: str) -> None:
    """As it is, or encoded in any of the ways that there are."""
    assert status(head(f"/audio-stream?role=telnyx&token={written}", upgrade=True), **PLUS_TOKEN) == 0
    assert status(head(f"/audio-stream?role=telnyx&token={written}x", upgrade=True), **PLUS_TOKEN) == 401


def test_a_stream_token_with_a_space() -> None:
    """Is one too."""
    spaced = {**ON, "PATCHBAY_TELNYX__STREAM_TOKEN": "Zq7 stream token W4xk"}
    for written in ("Zq7%20stream%20token%20W4xk", "Zq7+stream+token+W4xk"):
        assert status(head(f"/audio-stream?role=telnyx&token={written}", upgrade=True), **spaced) == 0


@pytest.mark.parametrize("nothing", ["", "undefined", "null", "None", "%20", "NaN", "[object%20Object]"])
def test_what_is_no_token_does_not_hide_one(nothing: str) -> None:
    """A program's word for having none, beside a good one elsewhere."""
    text, good = unquote(nothing), token("listen", "events")
    for beside in (f"Authorization: Bearer {good}", f"Sec-WebSocket-Protocol: patchbay, patchbay.token.{good}"):
        assert status(head(f"/audio-stream?token={nothing}", beside, upgrade=True), **ON) == 0
    assert status(head(f"/audio-stream?token={nothing}&token={good}", upgrade=True), **ON) == 0
    assert status(head(f"/audio-stream?token={nothing}", upgrade=True), **ON) == 401
    offered = f"Sec-WebSocket-Protocol: patchbay.token.{text.replace(' ', '')}, patchbay.token.{good}"
    assert "Object" in text or status(head("/audio-stream", offered, upgrade=True), **ON) == 0
    both = head(f"/events?token={nothing}", f"Authorization: Bearer {text}", f"Cookie: patchbay_token={good}")
    assert status(both, **ON) == 0
    stream = f"/audio-stream?role=telnyx&token={nothing}"
    assert status(head(stream, f"{HEADER}: {STREAM_TOKEN}", upgrade=True), **ON) == 0
    assert status(head(f"{stream}&token={STREAM_TOKEN}", f"{HEADER}: {text}", upgrade=True), **ON) == 0
    assert status(head(stream, f"{HEADER}: {text}", upgrade=True), **ON) == 401


def test_a_stream_with_several_tokens() -> None:
    """One of them opens; each is looked at."""
    assert status(head(f"/audio-stream?token={STREAM_TOKEN}", f"{HEADER}: an-old-one", upgrade=True), **ON) == 0
    assert status(head("/audio-stream?token=b", f"{HEADER}: a", upgrade=True), **ON) == 401


def test_a_refusal_says_whose_token_it_was() -> None:
    """To the log, where it could be read."""
    for query in ("call_control_id=b", "x=y"):
        with pytest.raises(Refused) as refusal:
            decide(head(f"/call-events?{query}&token={token('listen', calls=('a',))}", upgrade=True), **ON)
        assert refusal.value.sub == "me"


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
