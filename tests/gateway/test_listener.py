"""Who is let in, who is told why not, and that a crowd at the listener shuts nobody out."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from actors.gateway.listener import Listener
from config import load
from patchbay.http.head import BadRequest, RequestHead, Route
from tests.fakes.handovers import until
from tests.fakes.websockets import upgrade_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Entrance:
    """A listener on a port of its own."""

    def __init__(self, **environ: str) -> None:
        self.admitted: list[tuple[bytes, Route]] = []
        self.refuse: BadRequest | None = None
        self.refusals: list[tuple[str, str | None, int]] = []
        settings = load({"PATCHBAY_RUN_DIR": "/nonexistent", **environ}).gateway
        self.listener = Listener(settings, self._admit, refused=self._refused)
        self.listening = socket.create_server(("127.0.0.1", 0))

    def _admit(self, sock: socket.socket, peer: str, head: bytes, parsed: RequestHead, target: Route) -> None:
        if self.refuse is not None:
            raise self.refuse
        assert peer.startswith("127.0.0.1:")
        self.admitted.append((head, target))
        sock.close()

    def _refused(self, peer: str, head: RequestHead | None, why: BadRequest) -> None:
        self.refusals.append((peer.partition(":")[0], None if head is None else head.path, why.status))

    async def connect(self, sent: bytes) -> trio.SocketStream:
        stream = await trio.open_tcp_stream(*self.listening.getsockname())
        await stream.send_all(sent)
        return stream

    async def answer(self, sent: bytes) -> bytes:
        """All that comes back."""
        async with await self.connect(sent) as stream:
            return b"".join([piece async for piece in stream])


@asynccontextmanager
async def entrance(**environ: str) -> AsyncIterator[Entrance]:
    made = Entrance(**environ)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.listener.accept, made.listening, nursery)
            yield made
            nursery.cancel_scope.cancel()
    made.listening.close()


async def test_let_in_with_its_head() -> None:
    """And where it is to go."""
    async with entrance() as place:
        await place.answer(upgrade_head("/call-events"))
        assert place.admitted == [(upgrade_head("/call-events"), Route("call_events", "ws"))]
        await place.listener.until_empty()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"GET /audio-stream HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (upgrade_head("/nowhere"), 404),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHo", 408),
        (b"", 408),
    ],
)
async def test_told_why_not(sent: bytes, status: int) -> None:
    """In HTTP, and all of it arrives though more was on its way."""
    async with entrance(PATCHBAY_GATEWAY__HEAD_TIMEOUT_S="0.1") as place:
        answer = await place.answer(sent)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"Connection: close" in answer or b"Connection: Upgrade, close" in answer
        assert place.admitted == []
        assert place.listener.counters.turned_away == 1
        await place.listener.until_empty()


async def test_each_refusal_is_told() -> None:
    """For the log, wherever it was found out: in the head, by its path, or further in."""
    async with entrance() as place:
        await place.answer(b"rubbish\r\n\r\n")
        await place.answer(upgrade_head("//audio-stream"))
        await place.answer(upgrade_head("/call-events?call="))
        place.refuse = BadRequest(503, "Service Unavailable: no room")
        await place.answer(upgrade_head())
        assert place.refusals == [
            ("127.0.0.1", None, 400),
            ("127.0.0.1", "//audio-stream", 404),
            ("127.0.0.1", "/call-events", 400),
            ("127.0.0.1", "/audio-stream", 503),
        ]


async def test_refused_further_in() -> None:
    """The router has no room, say."""
    async with entrance() as place:
        place.refuse = BadRequest(503, "Service Unavailable: no room")
        answer = await place.answer(upgrade_head())
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After" in answer
        assert b"no room" in answer


async def test_a_fault_of_ours_ends_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    """The listener stays open."""
    async with entrance() as place:
        place.refuse = RuntimeError("ours")  # type: ignore[assignment]
        assert await place.answer(upgrade_head()) == b""
        place.refuse = None
        await place.answer(upgrade_head())
        assert len(place.admitted) == 1
        assert "failed at the listener" in caplog.text


async def test_one_that_vanishes_is_counted() -> None:
    """Before its head was there."""
    async with entrance() as place:
        stream = await place.connect(b"GET /")
        await stream.aclose()
        await until(lambda: place.listener.counters.vanished)


async def test_a_crowd_that_says_nothing_shuts_nobody_out() -> None:
    """The one that has been silent the longest goes."""
    async with entrance() as place:
        place.listener.max_heads = 5
        crowd = [await place.connect(b"GET /") for _ in range(8)]
        await until(lambda: place.listener.counters.accepted == 8)
        await place.answer(upgrade_head())
        assert len(place.admitted) == 1
        await until(lambda: place.listener.pending <= 5)
        assert place.listener.counters.too_many >= 3
        for stream in crowd:
            await stream.aclose()
        await place.listener.until_empty()
