"""Bodies in many small chunks are decoded in turns, and hosts share these, however many bodies one of them sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio

from patchbay.http.body import STEPS_A_TURN, BodyReader
from patchbay.http.head import parse_head
from patchbay.http.in_flight import InFlight

if TYPE_CHECKING:
    import h11

HEAD = parse_head(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
TURNS = 20
MAX_BYTES = 1_000_000


class Sent:
    """A stream on which a whole body has come."""

    def __init__(self) -> None:
        self._data = b"4\r\nxxxx\r\n" * (TURNS * STEPS_A_TURN) + b"0\r\n\r\n"

    async def receive_some(self, count: int) -> bytes:
        data, self._data = self._data[:count], self._data[count:]
        return data


async def test_the_bodies_of_one_host_wait_for_each_other() -> None:
    """And not the body of another host."""
    bodies = InFlight(10 * MAX_BYTES)
    reader, ended = BodyReader(bodies, MAX_BYTES), list[str]()

    async def read(host: str) -> None:
        stream = cast("trio.SocketStream", Sent())
        await reader.read(cast("h11.Connection", None), HEAD, stream, bodies.begin(lambda: None), host)
        ended.append(host)

    async with trio.open_nursery() as nursery:
        for host in ("many", "many", "one", "many", "many", "many"):
            nursery.start_soon(read, host)
        while not ended:
            await trio.lowlevel.checkpoint()
        for _ in range(TURNS):  # whoever had had as many turns would end now
            await trio.lowlevel.checkpoint()
        assert ended == ["one"]
    assert ended == ["one"] + 5 * ["many"]
