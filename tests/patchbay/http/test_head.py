"""Request heads: what is parsed, where it goes, and what is refused."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.http.head import (
    MAX_HEADERS,
    BadRequest,
    RequestHead,
    call_ids,
    is_telnyx,
    parse_head,
    parse_known_head,
    route,
)
from tests.fakes.work import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


def head(target: str, *lines: str, method: str = "GET", upgrade: bool = False) -> RequestHead:
    extra = "".join(f"{line}\r\n" for line in lines) + (UPGRADE if upgrade else "")
    return parse_head(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())


@pytest.mark.parametrize(
    ("target", "lines", "actor"),
    [
        ("/audio-stream", (), "fanout"),
        ("/api/audio-stream", (), "fanout"),
        ("/ws/audio-stream/", (), "fanout"),
        ("/frontend-audio", ("User-Agent: telnyx",), "fanout"),
        ("/audio-stream", ("User-Agent: Telnyx-Media",), "ingest"),
        ("/audio-stream", ("x-telnyx-signature: x",), "ingest"),
        ("/audio-stream", ("X-Telnyx-Streaming-Auth-Token: x",), "ingest"),
        ("/audio-stream?role=telnyx", (), "ingest"),
        ("/audio-stream?role=browser", (), "fanout"),
        ("/call-events", (), "call_events"),
        ("/ws/call-events", (), "call_events"),
    ],
)
def test_where_sockets_go(target: str, lines: tuple[str, ...], actor: str) -> None:
    """Path and handshake decide."""
    got = route(head(target, *lines, upgrade=True))
    assert (got.actor, got.kind) == (actor, "ws")


@pytest.mark.parametrize(
    ("method", "target", "actor"),
    [
        ("POST", "/api/calls/telnyx/webhook", "call_events"),
        ("GET", "/api/calls", "console"),
        ("GET", "/", "console"),
        ("GET", "/healthz", "console"),
        ("GET", "/style.css", "console"),
    ],
)
def test_where_plain_requests_go(method: str, target: str, actor: str) -> None:
    """All that is no WebSocket."""
    got = route(head(target, method=method))
    assert (got.actor, got.kind) == (actor, "http")


@pytest.mark.parametrize("target", ["/audio-stream", "/frontend-audio", "/call-events", "/api/audio-stream"])
def test_sockets_need_an_upgrade(target: str) -> None:
    """426, also when nginx says `Connection: upgrade` without an `Upgrade`."""
    for lines in ((), ("Connection: upgrade",)):
        with pytest.raises(BadRequest) as refusal:
            route(head(target, *lines))
        assert refusal.value.status == 426


@pytest.mark.parametrize("key", [None, "", "!", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA=", "\xe9" * 24, "A" * 24])
def test_a_socket_needs_a_key(key: str | None) -> None:
    """400 for what is not 16 bytes in base64: a listener let in by half a handshake would be sent audio."""
    lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    if key is not None:
        lines.append(f"Sec-WebSocket-Key: {key}")
    extra = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    with pytest.raises(BadRequest) as refusal:
        route(parse_head(b"GET /audio-stream HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n"))
    assert refusal.value.status == 400


def test_so_many_headers_and_no_more() -> None:
    """431: each costs time to read, in the process that lets everybody in."""
    lines = [f"X-{each}: y" for each in range(MAX_HEADERS - 1)]  # and the host's
    assert len(head("/", *lines).headers) == MAX_HEADERS
    with pytest.raises(BadRequest) as refusal:
        head("/", *lines, "X: one too many")
    assert refusal.value.status == 431


def test_no_socket_on_other_paths() -> None:
    """404."""
    with pytest.raises(BadRequest) as refusal:
        route(head("/elsewhere", upgrade=True))
    assert refusal.value.status == 404


def test_call_ids_are_decoded_under_all_names() -> None:
    """Telnyx's ids hold `:` and base64."""
    got = head("/audio-stream?call_control_id=v3%3Aa%2Fb-_%3D&callId=c&call_id=d")
    assert call_ids(got) == ["v3:a/b-_=", "d", "c"]


def refused(data: str) -> BadRequest:
    with pytest.raises(BadRequest) as refusal:
        route(parse_head(data.encode("latin-1")))
    return refusal.value


@pytest.mark.parametrize("upgrade", [True, False])
@pytest.mark.parametrize(
    "target",
    [
        "//audio-stream", "///audio-stream", "/audio-stream//", "/api//audio-stream", "/api/api/audio-stream", "/ws/ws/call-events",
        "/api/ws/audio-stream", "/./audio-stream", "/x/../audio-stream", "/audio-stream/.", "/Audio-Stream", "/AUDIO-STREAM",
        "/API/audio-stream", "/audio-stream;v=1", "/audio-stream;/", "//call-events", "/api//events", "/api/%2e/audio-stream",
        "/%2faudio-stream", "/api%2faudio-stream", "/api%2Fcall-events", "/audio-stream%2f", "//x/audio-stream%2F",
        "/api//calls/telnyx/webhook", "/api/calls//telnyx/webhook", "//api/calls/telnyx/webhook",
    ],
)  # fmt: skip
def test_a_path_that_is_nearly_one_is_none(target: str, upgrade: bool) -> None:
    """404 for a socket and for a plain request, in words that say how to write it; never the page."""
    lines = UPGRADE if upgrade else ""
    told = refused(f"GET {target}?call_control_id=a HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
    assert told.status == 404
    assert "write the path as" in str(told) or "%2F" in str(told)


@pytest.mark.parametrize(
    "target", ["//", "//x", "//127.0.0.1/", "/api//", "///", "/audio-streams", "/audio_stream", "/.."]
)
def test_other_paths_are_themselves(target: str) -> None:
    """They are looked up, and are not there."""
    got = head(target)
    assert got.path not in ("/", "/audio-stream")
    assert route(got).actor == "console"


@pytest.mark.parametrize(
    "target", ["/audio-stream", "/audio-stream/", "/%61udio-stream", "/api/audio-stream/", "/ws/audio-stream"]
)
@pytest.mark.parametrize("before", ["", "http://patchbay.example", "HTTPS://127.0.0.1:5006", "ws://[::1]:5006"])
def test_targets_in_absolute_form(before: str, target: str) -> None:
    """As proxies may send them (RFC 9112 §3.2.2); the other spellings are the same path (RFC 3986 §6.2.2)."""
    got = head(f"{before}{target}?callId=a", upgrade=True)
    assert (got.path, call_ids(got)) == ("/audio-stream", ["a"])
    assert route(got).kind == "ws"


@pytest.mark.parametrize(
    "target",
    [
        "audio-stream",
        "x://h/audio-stream",
        "http:///audio-stream",
        "http://a@h/audio-stream",
        "/audio-stream#x",
        "h:80",
    ],
)
def test_targets_that_are_none(target: str) -> None:
    told = refused(f"GET {target} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n")
    assert told.status == 400


def test_an_upgrade_of_http_1_0() -> None:
    """Is none (RFC 9110 §7.8). It is what nginx sends where nobody told it otherwise, so that is said."""
    told = refused(f"GET /audio-stream HTTP/1.0\r\nHost: x\r\n{UPGRADE}\r\n")
    assert told.status == 426
    assert "proxy_http_version 1.1" in str(told)
    assert route(parse_head(f"GET / HTTP/1.0\r\n{UPGRADE}\r\n".encode())).kind == "http"


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def handshake(**changed: str) -> str:
    lines = {**HANDSHAKE, **{name.replace("_", "-"): value for name, value in changed.items()}}
    extra = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value != "-")
    return f"GET /audio-stream HTTP/1.1\r\nHost: x\r\n{extra}\r\n"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "UPGRADE ,close"},
        {"Upgrade": "WebSocket"},
        {"Upgrade": "WebSocket, foo"},
        {"Upgrade": "h2c,websocket"},
        {"Content_Length": "0"},
    ],
)
def test_a_handshake(changed: dict[str, str]) -> None:
    assert route(parse_head(handshake(**changed).encode())).kind == "ws"


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"Connection": "keep-alive"}, 426, "WebSocket"),
        ({"Connection": "xupgrade"}, 426, "WebSocket"),
        ({"Upgrade": "websockets"}, 426, "WebSocket"),
        ({"Upgrade": "-"}, 426, "WebSocket"),
        ({"Sec_WebSocket_Version": "8"}, 426, "13"),
        ({"Sec_WebSocket_Version": "13, 8"}, 426, "13"),
        ({"Sec_WebSocket_Version": "-"}, 426, "13"),
        ({"Sec_WebSocket_Version": ""}, 426, "13"),
        ({"Sec_WebSocket_Version": "13\r\nSec-WebSocket-Version: 13"}, 426, "13"),
        ({"Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}, 400, "once"),
        ({"Sec_WebSocket_Key": "-"}, 400, "16 bytes"),
        ({"Content_Length": "5"}, 400, "body"),
        ({"Transfer_Encoding": "chunked"}, 400, "body"),
        ({"Host": "y"}, 400, "Host"),
    ],
)
def test_half_a_handshake(changed: dict[str, str], status: int, words: str) -> None:
    """Nobody gets in by it, and each is told what is missing."""
    told = refused(handshake(**changed))
    assert told.status == status
    assert words in str(told)


@pytest.mark.parametrize("path", ["/audio-stream", "/frontend-audio", "/call-events", "/api/events", "/api/calls"])
@pytest.mark.parametrize(
    "query", ["call_control_id=", "callId=%20", "call[]=", "CallSid=v3:a", "call=undefined", "call_ids=a"]
)
def test_a_call_that_is_named_badly_is_refused_on_every_path(path: str, query: str) -> None:
    """Before anybody is given every call for it."""
    is_socket = not path.startswith("/api")
    told = refused(f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\n{UPGRADE if is_socket else ''}\r\n")
    assert told.status == 400
    assert "call_control_id" in str(told)


def test_telnyx_may_say_what_it_likes() -> None:
    """The URL of a stream is whoever's who placed the call, and names none for us; so is that of webhooks."""
    assert route(head("/audio-stream?role=telnyx&CallSid=&call_id=", upgrade=True)).actor == "ingest"
    assert route(head("/calls/telnyx/webhook?call_id=", method="POST")).actor == "call_events"


@given(st.binary(max_size=300))
def test_rubbish_is_answered_400(data: bytes) -> None:
    """Nothing but BadRequest comes out."""
    with contextlib.suppress(BadRequest):
        parsed = parse_head(data + b"\r\n\r\n")
        assert isinstance(is_telnyx(parsed), bool)


def test_two_lengths_are_refused() -> None:
    """No request smuggling: h11 does not choose between contradictory headers."""
    with pytest.raises(BadRequest):
        head("/", "Content-Length: 1", "Content-Length: 2", method="POST")


names = st.sampled_from(
    [b"Host", b"X-Odd", b"Content-Length", b"transfer-encoding", b"Sec-WebSocket-Protocol", b"Cookie"]
)
values = st.one_of(st.sampled_from([b"", b"5", b"chunked", b"a, b", b"x\r\n folded"]), st.binary(max_size=8))
blanks = st.sampled_from([b"", b" ", b"\t", b"  "])
ends = st.sampled_from([b"\r\n"] * 5 + [b"\n"])
header_lines = st.tuples(names, st.just(b":"), blanks, values, blanks, ends).map(b"".join)
targets = st.sampled_from(
    [b"/audio-stream?callId=a%20b&x", b"/", b"*", b"http://h/audio-stream", b"/?%ff=\xe9", b"//a"]
)
versions = st.sampled_from([b"1.1", b"1.1", b"1.0"])


@given(st.sampled_from([b"", b"\r\n", b"\n"]), targets, versions, ends, st.lists(header_lines, max_size=5), ends)
def test_a_head_that_is_known_reads_the_same(
    before: bytes, target: bytes, version: bytes, end: bytes, lines: list[bytes], blank: bytes
) -> None:
    """Whatever h11 makes of it."""
    data = b"".join([before, b"GET ", target, b" HTTP/" + version, end, b"Host: x", end, *lines, blank])
    try:
        expected = parse_head(data)
    except BadRequest:
        return
    assert parse_known_head(data) == expected


@pytest.mark.parametrize("filler", [" ", "\t", " a", "a", "\r"])
@pytest.mark.parametrize("bad", ["\0", "\v", "\f", "\r"])
def test_what_no_head_has_is_seen_before_any_line_is_parsed(
    bad: str, filler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """h11 tries a line with one of them in as many ways as there are spaces."""
    monkeypatch.setattr(h11, "Connection", None)
    assert refused(f"GET / HTTP/1.1\r\nHost: x\r\nX:{filler * 7000}{bad}y\r\n\r\n").status == 400


def test_the_reason_quotes_little() -> None:
    """Of a line that is none."""
    told = refused("GET / HTTP/1.1\r\nHost: x\r\n" + "y" * 10_000 + "\r\n\r\n")
    assert told.status == 400
    assert len(str(told)) <= 200


@pytest.mark.parametrize("segment", ["/api", "/ws", "/api/ws", "/.", "/x/..", "//", "/%2e"])
def test_a_long_path_takes_work_by_its_length(segment: str) -> None:
    """Segments that are ignored are many."""

    def work(count: int) -> Callable[[], object]:
        parsed = head(segment * count + "/audio-stream")

        def look() -> None:
            with pytest.raises(BadRequest):
                route(parsed)

        return look

    assert_linear(work, 400)


@pytest.mark.parametrize("piece", ["a=b&", "call_id=&", "[1", "call_id[]=1&", "_call", "&", "%41", "+", "aA"])
def test_a_long_query_takes_work_by_its_length(piece: str) -> None:
    """Up to the number of parameters that is allowed."""

    def work(count: int) -> Callable[[], object]:
        target = "/calls?" + piece * count

        def look() -> None:
            with contextlib.suppress(BadRequest):
                route(head(target))

        return look

    assert_linear(work, 90)


@pytest.mark.parametrize("name", ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"])
@pytest.mark.parametrize("value", ["patchbay.v1, \x80", "\xff", "a, \xc3\xa9, b", "\xf0\x9f"])
def test_names_are_ascii(name: str, value: str) -> None:
    """RFC 6455 §4.1: tokens."""
    told = refused(f"GET /audio-stream HTTP/1.1\r\nHost: x\r\n{UPGRADE}{name}: {value}\r\n\r\n")
    assert told.status == 400
    assert name in str(told)
