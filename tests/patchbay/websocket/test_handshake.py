"""The opening of a WebSocket, whatever else its head holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio

from patchbay.http.head import parse_head, route
from patchbay.websocket.handshake import answer_handshake, minimal_head
from tests.fakes.connections import FakeHandedConnection, FakeSendQueue, tcp_pair

if TYPE_CHECKING:
    from patchbay.handover.connection import HandedConnection
    from patchbay.websocket.send_queue import SendQueue

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3
ODD = (
    "\x80",
    "\xff\xfe",
    "xn--\xe9",
    "xn--a-",
    "xn--0",
    "a" * 300,
    "é.example",
    "\x7f",
    "\x01",
    ",,,",
    "=?utf-8?",
    '"',
)
HEADERS = (
    "Host", "Connection", "Upgrade", "Origin", "User-Agent", "Cookie", "Authorization", "X-Forwarded-For", "Forwarded",
    "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Accept", "Accept-Language", "X-Any",
)  # fmt: skip


def opening(header: str, value: str) -> bytes:
    """An opening with one more header, or another value of one."""
    lines = {"Host": "x", "Connection": "Upgrade", "Upgrade": "websocket"}
    lines[header] = f"{lines[header]}, {value}" if header in ("Connection", "Upgrade") else value
    told = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
    return f"GET /audio-stream HTTP/1.1\r\n{told}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode(
        "latin-1"
    )


async def answer(head: bytes, subprotocol: str | None = None) -> tuple[bool, bytes]:
    client, server = tcp_pair()
    send_queue = FakeSendQueue()
    with client, server, trio.fail_after(60):
        handed = FakeHandedConnection(server, head, kind="ws")
        accepted = await answer_handshake(cast("HandedConnection", handed), cast("SendQueue", send_queue), subprotocol)
    return accepted, b"".join(send_queue.control)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("value", ODD)
async def test_no_header_of_a_peer_fails_the_handshake(header: str, value: str) -> None:
    """It is opened, with the right key; what we have no use for is not even decoded."""
    accepted, written = await answer(opening(header, value))
    assert accepted
    assert written.startswith(b"HTTP/1.1 101 ")
    assert ACCEPT in written


async def test_the_names_that_are_offered() -> None:
    """One of them is accepted; a name that is not ASCII is none (at the door that is refused)."""
    _, written = await answer(opening("Sec-WebSocket-Protocol", "patchbay, \x80, patchbay.token.x"))
    assert b"patchbay\r\n" in written
    _, written = await answer(opening("Sec-WebSocket-Protocol", "patchbay.v1, \x80"), "patchbay.v1")
    assert b"patchbay.v1\r\n" in written


async def test_half_an_opening_is_refused() -> None:
    """Whoever let it in."""
    for cut in (b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n", f"Sec-WebSocket-Key: {KEY}\r\n".encode()):
        accepted, written = await answer(opening("X-Any", "y").replace(cut, b""))
        assert not accepted
        assert b" 400 " in written


def test_what_is_passed_on_is_a_head() -> None:
    """To the same end."""
    head = parse_head(minimal_head(opening("Host", "\x80").replace(b"/audio-stream", b"/call-events")))
    assert head.is_upgrade
    assert route(parse_head(opening("Host", "\x80"))).kind == "ws"
