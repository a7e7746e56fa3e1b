"""Two sockets for one call that both come back at once: the newest is heard, and they take turns ever more slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing

from actors.ingest.contest import CALM_S, FREE, LONGEST_WAIT_S, Contests
from patchbay.protocol import batches
from tests.fakes.telnyx import FakeIngest, media, peer_of, start

if TYPE_CHECKING:
    from actors.ingest.stream.stream import Stream


def test_how_long_the_loser_stays() -> None:
    """Not at all, as a rule; other calls, and a calm while, count for nothing."""
    contests = Contests()
    waits = [contests.count(b"a", 1.0).wait_s for _ in range(9)]
    assert waits == [0.0] * FREE + [1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]
    assert contests.count(b"b", 1.0).wait_s == 0.0
    assert contests.count(b"a", 1.0 + CALM_S).wait_s == 0.0
    assert max(contests.count(b"c", 1.0).wait_s for _ in range(5000)) == LONGEST_WAIT_S


async def test_two_that_come_back_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """A minute of it is a dozen connections, and each newest one is heard at once."""
    ingest = FakeIngest()
    ingest.clock = trio.current_time
    ingest.fanout(0, "v3:call")
    streams: list[Stream] = []
    heard: list[int] = []

    async def come_back() -> None:
        while True:
            stream = ingest.stream(len(streams) + 1, start())
            streams.append(stream)
            stream.on_text(media(1))
            heard.extend(entry.stream for entry in ingest.entries() if entry.kind == batches.AUDIO)
            await peer_of(stream).closed.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ingest.streams.closer.run)
        nursery.start_soon(come_back)
        nursery.start_soon(come_back)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert 5 < len(streams) < 15
    assert heard == [stream.number for stream in streams]
    contested = [payload for kind, payload in ingest.told() if kind == "stream.contested"]
    assert contested[0]["call_control_id"] == "v3:call"
    times = {payload["times"] for payload in contested}  # until they are acknowledged, events are sent again
    assert ingest.streams.counters["streams_contested"] == len(times) == len(streams) - 1 - FREE


async def test_one_that_goes_by_itself_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    """Its place is free at once."""
    ingest = FakeIngest()
    stream = ingest.stream(1, start())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ingest.streams.closer.run)
        ingest.streams.closer.add(stream, 1000, "", 100.0)
        await trio.testing.wait_all_tasks_blocked()
        peer_of(stream).closed.set()
        await trio.sleep(200)
        nursery.cancel_scope.cancel()
    assert peer_of(stream).closed_with == []
