"""Closing while audio flows: whoever says goodbye is answered soon, and gets nothing after that (RFC 6455 §5.5.1)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import trio

from tests.e2e.calls import call, numbered
from tests.e2e.system import running_system
from tests.fakes.websockets import CLOSE, PING, ServerFrames, masked, upgrade_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.system import System

pytestmark = pytest.mark.slow
FORMS = ("", "&track=both", "&format=json", "v1")
AT_ONCE = 40  # ten of each form: several of one are written to together
ANSWER_S = 20.0  # a close that was lost is never answered; how soon it is, a loaded machine does not tell
CLOSE_1000 = masked(b"\x03\xe8", CLOSE)


@pytest.fixture(scope="module")
def patchbay() -> Iterator[System]:
    """A system of our own to roll."""
    with running_system() as system:
        yield system


@asynccontextmanager
async def opened(system: System, call_id: str, form: str) -> AsyncIterator[tuple[trio.SocketStream, ServerFrames]]:
    """A connection on which audio flows."""
    lines = ["Sec-WebSocket-Protocol: patchbay.v1"] if form == "v1" else []
    query = f"call_control_id={quote(call_id, safe='')}" + (form if form != "v1" else "")
    async with await trio.open_tcp_stream("127.0.0.1", system.port) as stream:
        await stream.send_all(upgrade_head(f"/audio-stream?{query}", *lines))
        reads = ServerFrames(stream)
        assert (await reads.answer()).startswith(b"HTTP/1.1 101")
        for _ in range(4):
            await reads.frame()
        yield stream, reads


async def close(stream: trio.SocketStream, reads: ServerFrames, number: int) -> None:
    """Say goodbye, and see what comes until the end."""
    with trio.fail_after(ANSWER_S):
        await stream.send_all(masked(b"still there?", PING) + CLOSE_1000 if number % 3 == 0 else CLOSE_1000)
        while (frame := await reads.frame())[0] != CLOSE:
            pass
        assert frame[1] == b"\x03\xe8"
        with pytest.raises(EOFError):
            await reads.frame()


async def crowd(system: System, call_id: str, *, rolls: str | None = None) -> None:
    """So many open, and all say goodbye at once: before or after the process behind them has been replaced."""
    connections: list[tuple[trio.SocketStream, ServerFrames]] = []
    here, go = trio.Event(), trio.Event()

    async def one(number: int) -> None:
        async with opened(system, call_id, FORMS[number % len(FORMS)]) as connection:
            connections.append(connection)
            if len(connections) == AT_ONCE:
                here.set()
            await go.wait()
            await close(*connection, number)

    async with trio.open_nursery() as nursery:
        for number in range(AT_ONCE):
            nursery.start_soon(one, number)
        await here.wait()
        if rolls == "before":
            await system.command("roll", "fanout")
        go.set()
        if rolls == "meanwhile":
            await system.command("roll", "fanout")


async def close_often(system: System, rounds: int, rolled: int) -> None:
    tracks = {"inbound": numbered(1, 100_000), "outbound": numbered(2, 100_000)}
    async with call(system, tracks=tracks) as running:
        call_id = running.identity.call_control_id
        await system.until_live(call_id)
        for number in range(rounds):
            rolls = ("before", "meanwhile")[number % 2] if number < rolled else None
            await crowd(system, call_id, rolls=rolls)


async def test_closing_while_audio_flows(patchbay: System) -> None:
    """In every form, on every path, and over a roll."""
    await close_often(patchbay, rounds=5, rolled=2)


@pytest.mark.long
async def test_five_thousand_goodbyes(patchbay: System) -> None:
    """None is forgotten."""
    await close_often(patchbay, rounds=125, rolled=30)
