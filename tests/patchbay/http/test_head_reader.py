"""Exactly the head is taken, however it arrives; bounded in bytes and in time."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel
from hypothesis import given
from hypothesis import strategies as st

from patchbay.http.head_reader import HeadTimeout, HeadTooLarge, PeerGone, peek_head, read_head
from tests.fakes.connections import tcp_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"GET / HTTP/1.1\r\nHost: patchbay\r\n\r\n"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    client, server = tcp_pair()
    yield client, server
    client.close()
    server.close()


async def test_byte_by_byte_and_not_one_more(pair: tuple[socket.socket, socket.socket]) -> None:
    """What follows the head is left for whoever serves the connection."""
    client, server = pair

    async def type_slowly() -> None:
        for at in range(len(HEAD)):
            client.send(HEAD[at : at + 1])
            await trio.lowlevel.checkpoint()
        client.send(b"the body")

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(type_slowly)
            assert await read_head(server, max_bytes=1000, timeout_s=5) == HEAD
        await trio.lowlevel.wait_readable(server)
    assert server.recv(100) == b"the body"
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


@given(
    st.lists(st.binary(max_size=30).filter(lambda part: b"\r" not in part), min_size=1, max_size=4),
    st.binary(max_size=40),
)
def test_the_first_blank_line_ends_it(lines: list[bytes], rest: bytes) -> None:
    """Whatever is in it, and behind it."""
    head = b"\r\n".join(line or b"x" for line in lines) + b"\r\n\r\n"

    async def main() -> None:
        client, server = tcp_pair()
        client.send(head + rest)
        await trio.lowlevel.wait_readable(server)
        assert await peek_head(server, max_bytes=1000, timeout_s=5) == head
        assert await read_head(server, max_bytes=1000, timeout_s=5) == head
        assert (server.recv(1000) if rest else b"") == rest
        client.close()
        server.close()

    trio.run(main)


async def test_waits_without_spinning(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that stands half there costs nothing until more of it comes."""
    client, server = pair
    looks = 0
    original = trio.lowlevel.wait_readable

    async def counted(sock: socket.socket) -> None:
        nonlocal looks
        looks += 1
        await original(sock)

    monkeypatch.setattr(trio.lowlevel, "wait_readable", counted)
    async with trio.open_nursery() as nursery:
        client.send(HEAD[:20])
        with trio.move_on_after(0.1):
            await read_head(server, max_bytes=1000, timeout_s=5)
        nursery.cancel_scope.cancel()
    assert looks <= 3
    assert server.recv(100) == HEAD[:20]  # cancelled: nothing was taken


@pytest.mark.parametrize("size", [101, 2000])
async def test_too_large(pair: tuple[socket.socket, socket.socket], size: int) -> None:
    """Told as soon as it is, complete or not; nothing is taken."""
    client, server = pair
    client.send(b"x" * size + b"\r\n\r\n")
    with pytest.raises(HeadTooLarge), trio.fail_after(20):
        await read_head(server, max_bytes=100, timeout_s=60)
    assert server.recv(4000) == b"x" * size + b"\r\n\r\n"


async def test_as_large_as_allowed(pair: tuple[socket.socket, socket.socket]) -> None:
    """The limit itself is allowed, also with bytes behind it."""
    client, server = pair
    head = b"x" * 96 + b"\r\n\r\n"
    client.send(head + b"y" * 50)
    assert await read_head(server, max_bytes=100, timeout_s=5) == head


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
async def test_not_complete_in_time(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    """How much there was of it says what to answer."""
    client, server = pair
    client.send(sent)
    with pytest.raises(HeadTimeout) as late:
        await read_head(server, max_bytes=100, timeout_s=0.05)
    assert late.value.seen == len(sent)


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_gone_before_it_was_complete(sent: bytes, how: str) -> None:
    """Closed, reset, or closed in one direction only."""
    client, server = tcp_pair()
    client.send(sent)
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how == "half":
        client.shutdown(socket.SHUT_WR)
    else:
        client.close()
    with pytest.raises(PeerGone), trio.fail_after(20):
        await read_head(server, max_bytes=100, timeout_s=60)
    client.close()
    server.close()


async def test_a_head_before_the_end_is_a_head(pair: tuple[socket.socket, socket.socket]) -> None:
    """A client may close its side right after its request."""
    client, server = pair
    client.send(HEAD)
    client.shutdown(socket.SHUT_WR)
    assert await read_head(server, max_bytes=1000, timeout_s=5) == HEAD
