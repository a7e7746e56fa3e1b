"""The public port: which request goes where, and what is answered to the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.calls import new_call_id
from tests.e2e.clients import client
from tests.e2e.http_client import exchange, fetch, status_of

if TYPE_CHECKING:
    from tests.e2e.system import System

pytestmark = pytest.mark.slow
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
UPGRADE = (
    "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
CONNECTED = {"event": "connected", "version": "1.0.0"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/calls", 200),
        ("/api/healthz", 200),
        ("/ws/healthz", 200),
        ("/console.js", 200),
        ("/nothing-here", 404),
        ("/api/nothing-here", 404),
        ("/../etc/passwd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/audio-stream", 426),
        ("/api/audio-stream", 426),
        ("/frontend-audio", 426),
        ("/call-events", 426),
        ("/ws/call-events", 426),
    ],
)
async def test_a_plain_request(patchbay: System, path: str, status: int) -> None:
    """Is answered by the one whose path it is, or told what is wrong in one line."""
    answer, body = await fetch(patchbay.port, path)
    assert answer == status
    if status >= 400:
        assert body.endswith(b"\n")
        assert body.count(b"\n") == 1


async def test_an_upgrade_where_there_is_no_websocket(patchbay: System) -> None:
    """404, also for paths that plain requests find."""
    for path in ("/", "/nothing-here", "/healthz"):
        answer = await exchange(patchbay.port, f"GET {path} HTTP/1.1\r\n{UPGRADE}\r\n".encode())
        assert status_of(answer) == 404


async def test_426_names_the_protocol(patchbay: System) -> None:
    """RFC 9110 §15.5.22: the answer must say which one."""
    answer = await exchange(patchbay.port, b"GET /audio-stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nupgrade: websocket" in head


@pytest.mark.parametrize(
    "request_",
    [
        b"rubbish\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # without Host
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: 1\r\n\r\n",
    ],
)
async def test_what_is_not_http(patchbay: System, request_: bytes) -> None:
    """400, and the connection is closed."""
    assert status_of(await exchange(patchbay.port, request_)) == 400


async def test_another_version_of_http(patchbay: System) -> None:
    """505: HTTP/2 without TLS, say."""
    assert status_of(await exchange(patchbay.port, b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n")) == 505


async def test_a_head_of_over_16_kib(patchbay: System) -> None:
    """431 at 16 KiB and one byte; 16 KiB are let in."""
    start = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Filler: "
    filler = 16 * 1024 - len(start) - 4
    assert status_of(await exchange(patchbay.port, start + b"a" * filler + b"\r\n\r\n")) == 200
    assert status_of(await exchange(patchbay.port, start + b"a" * (filler + 1) + b"\r\n\r\n")) == 431


async def test_a_head_of_1_mib(patchbay: System) -> None:
    """431, which reaches a client that goes on sending."""
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"a" * 1024 * 1024
    assert status_of(await exchange(patchbay.port, head)) == 431
    assert (await patchbay.get("/healthz"))[0] == 200


async def test_a_head_byte_by_byte(patchbay: System) -> None:
    """Is served like any other: nothing is lost, nothing is taken too early."""
    head = f"GET /ws/call-events HTTP/1.1\r\n{UPGRADE}\r\n".encode()
    async with await trio.open_tcp_stream("127.0.0.1", patchbay.port) as stream:
        stream.setsockopt(6, 1, 1)  # TCP_NODELAY
        for byte in head:
            await stream.send_all(bytes([byte]))
            await trio.sleep(0.001)
        answer = b""
        with trio.fail_after(60):
            while b"welcome" not in answer:
                answer += await stream.receive_some()
    assert status_of(answer) == 101


async def test_a_head_that_is_never_complete(patchbay: System) -> None:
    """408 after 5 s, with and without a first byte; a slow trickle does not extend it."""
    answers: dict[str, bytes] = {}
    began = time.monotonic()

    async def send(name: str, first: bytes) -> None:
        answers[name] = await exchange(patchbay.port, first)

    async def trickle() -> None:
        async with await trio.open_tcp_stream("127.0.0.1", patchbay.port) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drip, stream)
                answers["trickle"] = bytes(await stream.receive_some())
                nursery.cancel_scope.cancel()

    async def drip(stream: trio.SocketStream) -> None:
        await stream.send_all(b"GET / HTTP/1.1\r\nX-Slow: ")
        while True:
            await stream.send_all(b"a")
            await trio.sleep(0.2)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, "half", b"GET / HTTP/1.1\r\nHost: local")
            nursery.start_soon(send, "nothing", b"")
            nursery.start_soon(trickle)
    assert {name: status_of(answer) for name, answer in answers.items()} == dict.fromkeys(
        ("half", "nothing", "trickle"), 408
    )
    assert time.monotonic() - began >= 4.9


@pytest.mark.parametrize(
    "path", ["/audio-stream", "/api/audio-stream", "/ws/audio-stream", "/frontend-audio", "/api/frontend-audio"]
)
async def test_browsers(patchbay: System, path: str) -> None:
    """Are welcomed on each of the audio paths."""
    async with client(patchbay, path, headers={"User-Agent": BROWSER}) as browser:
        await browser.until(lambda: browser.of("connected"))


@pytest.mark.parametrize("path", ["/call-events", "/api/call-events", "/ws/call-events"])
async def test_call_events(patchbay: System, path: str) -> None:
    """Are on each of their paths."""
    async with client(patchbay, path) as browser:
        await browser.until(lambda: browser.of("welcome"))


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"X-Telnyx-Streaming-Auth-Token": "whatever"}),
        ("?role=telnyx", {"User-Agent": BROWSER}),
        ("", {"User-Agent": "Telnyx-Media/1.0"}),
        ("", {"User-Agent": "something of TELNYX inside"}),
        ("", {"X-Telnyx-Signature": "whatever"}),
    ],
)
async def test_telnyx_is_told_from_a_browser(patchbay: System, query: str, headers: dict[str, str]) -> None:
    """In each of the ways: what it streams becomes a call."""
    call_id = new_call_id()
    start = {"call_control_id": call_id, "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}}
    async with client(patchbay, f"/audio-stream{query}", headers=headers) as telnyx:
        await telnyx.send(CONNECTED)
        await telnyx.send({"event": "start", "stream_id": "s", "start": start})
        await patchbay.until_live(call_id)
        assert telnyx.messages == []  # a `connected` is nothing that Telnyx would understand
        await telnyx.send({"event": "stop", "stop": {"call_control_id": call_id}})


@pytest.mark.parametrize(
    "message", [CONNECTED, {"event": "start", "stream_id": "s", "start": {"call_control_id": "v3:x"}}]
)
async def test_telnyx_that_is_taken_for_a_browser(patchbay: System, message: dict[str, object]) -> None:
    """Is closed with 1008 and told what to configure."""
    async with client(patchbay, headers={"User-Agent": BROWSER}) as telnyx:
        await telnyx.send(message)
        closed = await telnyx.until_closed()
        assert closed.code == 1008
        assert "role=telnyx" in str(closed.reason)
        assert "stream_auth_token" in str(closed.reason)


async def test_telnyx_on_the_browsers_path(patchbay: System) -> None:
    """`/frontend-audio` is for browsers whatever the headers say."""
    async with client(patchbay, "/frontend-audio", headers={"User-Agent": "telnyx"}) as browser:
        await browser.until(lambda: browser.of("connected"))


async def test_one_connection_for_requests_to_several_actors(patchbay: System) -> None:
    """Keep-alive: the connection follows its requests from console to call events and back."""
    event = b'{"data":{"event_type":"call.ringing","id":"keep-alive","payload":{}}}'
    posting = b"POST /api/calls/telnyx/webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    posting += b"Content-Length: %d\r\n\r\n" % len(event) + event
    asking = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /api/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await exchange(patchbay.port, asking + posting + posting + asking + last)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 5
    assert b'{"calls":' in answer


async def test_a_websocket_on_a_connection_that_was_used_before(patchbay: System) -> None:
    """As a proxy with a pool of connections does it."""
    async with await trio.open_tcp_stream("127.0.0.1", patchbay.port) as stream:
        answer = b""
        with trio.fail_after(60):
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            while b"ok" not in answer.partition(b"\r\n\r\n")[2]:
                answer += await stream.receive_some()
            await stream.send_all(f"GET /audio-stream HTTP/1.1\r\n{UPGRADE}\r\n".encode())
            while b"Connected to audio stream" not in answer:
                answer += await stream.receive_some()
    assert b"101 Switching Protocols" in answer
