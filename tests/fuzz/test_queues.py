"""What peers fill and empty: queues, tables and registries do work in proportion to what is put in and taken out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import pytest
import trio

from actors.call_events.clients.recent_events import RecentEvents
from actors.call_events.entry import Entry, Interest
from actors.fanout.calls.interest import Interest as Topics
from actors.gateway.table import HeldConnection, Link, Table
from patchbay.audio.reorder import Reorder
from patchbay.bus.pending_events import Event, PendingEvents
from patchbay.net.quota import Quota
from patchbay.net.rate_limit import RateLimits, RateLimitsByKey
from patchbay.process.ttl_cache import TtlCache
from patchbay.protocol import batches
from patchbay.websocket.send_queue import SendQueue
from tests.fakes.listening import FakeFanout, entry, listener, spoken, started
from tests.fakes.telnyx import FakeIngest, media, start, stop
from tests.fanout.v1.v1_room import Room
from tests.fuzz.cost import CPU_GROWTH, CPU_LEAST_S, FACTOR, LINES_GROWTH, LINES_SLACK, TRIES, cpu_s, lines

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

NOW = 100.0
FEW, MANY = 64, 24_000  # operations, for lines and for time


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def pending(times: int) -> None:
    """Events that wait for an acknowledgement, of two sources, and those that are dropped for others."""
    events = PendingEvents(times)
    for number in range(times * 2):
        events.add(Event(str(number), "listener.joined", number % 2, b""))
        first = events.first_due(NOW)
        assert first is not None
        events.mark_sent(first, NOW)
    for number in range(times, times * 2):
        assert events.acknowledge(str(number))


def keys(times: int) -> None:
    """Events that a peer can cause without end."""
    events = PendingEvents(1000)
    for number in range(times):
        events.add(Event(str(number), "stream.dtmf", number % 3, b""))
    events.take_lost()


def recent(times: int) -> None:
    """Put in one by one, and all too old at once."""
    known = TtlCache[int](10.0, times)
    for number in range(times):
        known.put(number, number, NOW)
    assert known.get(0, NOW + 100) is None
    for number in range(times):
        known.put(number, number, NOW)
        known.get(number - 5, NOW + number)


def tail(times: int) -> None:
    """Events, each taken by a client that wants all and by one that wants none."""
    kept = RecentEvents(max_events=600, max_bytes=10**6)
    for number in range(1, times + 1):
        kept.extend([Entry(number, b"", "x", None, b"frame")])
        kept.after(number - 1, Interest(), 1000)
        kept.after(number - 1, Interest(types=frozenset()), 1000)


def topics(times: int) -> None:
    """Calls that are listened to and then are not."""
    wanted = Topics(0, lambda topic: None, lambda topic: None)
    names = [str(number).encode() for number in range(times)]
    for name in names:
        wanted.add(name)
        wanted.acknowledge(name, 0)
    for name in names:
        wanted.remove(name)


def limits(times: int) -> None:
    """What is asked at each request and each message."""
    by_key, held = RateLimitsByKey(1.0, 10), Quota[str](5)
    rate_limits = RateLimits(10.0, 10, token_per_s=10.0, token_burst=20)
    for number in range(times):
        by_key.of(str(number)).spend(1, NOW)
        held.add(str(number % 100))
        held.has_room(str(number % 100))
        rate_limits.of({"sub": str(number)}).spend(1, NOW)


def table(times: int) -> None:
    """Connections that come, are served, claim a call, and go."""
    known: Table[int] = Table()
    link = Link("ingest", 0, 1, 1)
    known.join(link)
    for number in range(times):
        known.add(HeldConnection(number, 0, "ws", "ingest", b"", "", counted=("all", str(number % 9))), NOW)
        assert known.choose(known.held[number]) is link
        known.serve(known.held[number], link)
        known.claim(number, b"same")
    for number in range(times):
        known.remove(number)


def reorder(times: int) -> None:
    """Frames in order, late, doubled, and from somewhere else."""
    order: Reorder[int] = Reorder()
    for number in range(times):
        for chunk in (number, number + 2, number - 3, number, number * 7919 % 10**6):
            order.push(chunk, chunk, NOW + number * 0.02)
        order.expire(NOW + number * 0.02)


class _Deaf:
    """The sending side of a connection that nobody reads."""

    def fileno(self) -> int:
        return -1

    def send(self, data: bytes) -> int:
        del data
        raise BlockingIOError


def send_queue(times: int) -> None:
    """Audio and words to somebody who does not read."""
    waiting = SendQueue(cast("socket.socket", _Deaf()), lossy_s=0.4)
    for _ in range(times):
        waiting.write(b"audio")
        waiting.write_control(b"word")


def streams(times: int) -> None:
    """Calls that begin, speak and end, in an ingest with a fan-out that wants all."""
    ingest = FakeIngest()
    ingest.fanout(everything=True)
    made = [ingest.stream(number + 1, start(f"c{number}"), media(1)) for number in range(times // 8)]
    for number, each in enumerate(made):
        each.on_text(stop(f"c{number}"))
    ingest.entries()


def calls(times: int) -> None:
    """The same in a fan-out with a listener to all."""
    fanout = FakeFanout()
    fanout.joins(listener(format="json"))
    names = [f"c{number}" for number in range(times // 8)]
    for number, name in enumerate(names):
        fanout.hears(started(name, stream=number + 1), spoken(1, name, stream=number + 1))
    live = b"".join((number + 1).to_bytes(8, "little") for number in range(len(names)))
    fanout.hears(entry(batches.LIVE, payload=live))
    for number, name in enumerate(names):
        fanout.hears(entry(batches.STOP, name, stream=number + 1))


def subscriptions(times: int) -> None:
    """A client of `patchbay.v1` that changes its mind."""
    room = Room()
    for number in range(1, times // 8 + 1):
        room.asks("subscribe", call_control_id="a", tracks=["inbound"])
        room.asks("unsubscribe", call=number)
        room.asks("ping")


WORK: dict[str, Callable[[int], None]] = {
    work.__name__: work
    for work in (
        pending, keys, recent, tail, topics, limits, table, reorder, send_queue, streams, calls, subscriptions,
    )
}  # fmt: skip


def counted(work: Callable[[int], None]) -> Callable[[bytes], None]:
    """As a reader, so that it can be measured: of so many bytes, so many times. Some of it asks for trio's clock."""

    async def run(data: bytes) -> None:
        work(len(data))

    return lambda data: trio.run(run, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORK)
def test_work_is_linear(name: str) -> None:
    """In lines of Python, and in the processor's time."""
    work = WORK[name]

    run = counted(work)
    run(b"x" * FEW)  # what is done once for all is done
    few, more, most = (lines(run, b"x" * FEW * times) for times in (1, 2, 4))
    assert most - more <= LINES_GROWTH * (more - few) + LINES_SLACK, (few, more, most)
    long = short = 0.0
    for tries in (1, TRIES):
        long, short = cpu_s(run, b"x" * MANY, tries), cpu_s(run, b"x" * (MANY // FACTOR), tries)
        if long < CPU_LEAST_S or long < CPU_GROWTH * short:
            return
    pytest.fail(f"{short * 1000:.1f} ms for {MANY // FACTOR}, {long * 1000:.1f} ms for {MANY}")


def test_all_of_it_is_done() -> None:
    """Counting starts from something."""
    assert min(lines(counted(work), b"x" * FEW) for work in WORK.values()) > FEW
