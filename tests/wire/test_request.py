"""Request heads: what is parsed, where it goes, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wire.request import (
    MAX_HEADERS,
    BadRequest,
    RequestHead,
    call_ids,
    is_telnyx,
    parse_head,
    parse_known_head,
    route,
)

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
targets = st.sampled_from([b"/audio-stream?callId=a%20b&x", b"/", b"*", b"http://h/audio-stream", b"/?%ff=\xe9"])


@given(st.sampled_from([b"", b"\r\n", b"\n"]), targets, ends, st.lists(header_lines, max_size=5), ends)
def test_a_head_that_is_known_reads_the_same(
    before: bytes, target: bytes, end: bytes, lines: list[bytes], blank: bytes
) -> None:
    """Whatever h11 makes of it."""
    data = b"".join([before, b"GET ", target, b" HTTP/1.1", end, b"Host: x", end, *lines, blank])
    try:
        expected = parse_head(data)
    except BadRequest:
        return
    assert parse_known_head(data) == expected
