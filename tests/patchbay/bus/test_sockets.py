"""The contract of the bus adapter, over real ZeroMQ: nothing lost by cancelling, no wake-up swallowed, all bounded."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from patchbay.bus.sockets import AUDIO_QUEUE, BusSocket
from tests.fakes.endpoints import Endpoints
from tests.fakes.handovers import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from patchbay.bus.sockets import Bus


@pytest.fixture
async def endpoints(tmp_path: Path) -> AsyncIterator[Endpoints]:
    made = Endpoints(tmp_path)
    with trio.fail_after(20):
        yield made
    made.close()


async def heard(publisher: BusSocket, topic: bytes) -> None:
    """Wait until somebody has subscribed."""
    while b"\x01" + topic not in await publisher.receive_many():
        pass


async def joined(publisher: BusSocket, subscriber: BusSocket, topic: bytes = b"t") -> None:
    subscriber.subscribe(topic)
    await heard(publisher, topic)


def pair(endpoints: Endpoints) -> tuple[BusSocket, BusSocket]:
    """A PUSH and the PULL it is connected to."""
    puller = endpoints.bus("ingest", "talk").puller("talk")
    pusher = endpoints.bus("fanout").pusher("ingest", 0, "a", "talk")
    return pusher, puller


async def connected(pusher: BusSocket) -> None:
    """Wait until a frame is taken."""
    await until(lambda: pusher.send_nowait(b"first"))
    pusher.dropped = 0


async def test_order_and_batches(endpoints: Endpoints) -> None:
    """Frames come in order, at most `limit` at a time, and none is left behind at the limit."""
    pusher, puller = pair(endpoints)
    await connected(pusher)
    sent = [b"%d" % index for index in range(150)]
    for frame in sent:
        assert pusher.send_nowait(frame)
    got = [b""]
    while got[-1] != sent[-1]:
        batch = await puller.receive_many(limit=20)
        assert 1 <= len(batch) <= 20
        got += batch
    assert got[2:] == sent


async def test_cancelled_receives_lose_nothing(endpoints: Endpoints) -> None:
    """Hundreds of receives are cancelled at any moment: before, while, and just when frames arrive."""
    pusher, puller = pair(endpoints)
    await connected(pusher)
    got: list[bytes] = []
    count, cancelled = 3000, 0
    chance = random.Random(7)

    async def send() -> None:
        for index in range(count):
            while not pusher.send_nowait(b"%d" % index):
                await trio.lowlevel.checkpoint()
            if chance.random() < 0.2:
                await trio.sleep(chance.random() / 2000)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while not got or got[-1] != b"%d" % (count - 1):
            with trio.move_on_after(chance.random() / 2000) as scope:
                got += await puller.receive_many()
            cancelled += scope.cancelled_caught
    assert got[1:] == [b"%d" % index for index in range(count)]
    assert cancelled > 20


async def test_a_receive_that_is_cancelled_already_takes_nothing(endpoints: Endpoints) -> None:
    """The frame is there for the next one."""
    pusher, puller = pair(endpoints)
    await connected(pusher)
    assert await puller.receive_many() == [b"first"]
    pusher.send_nowait(b"x")
    await trio.sleep(0.02)
    with trio.CancelScope() as scope:
        scope.cancel()
        await puller.receive_many()
    assert scope.cancelled_caught
    assert await puller.receive_many() == [b"x"]


@pytest.mark.parametrize("again", range(10))
async def test_an_edge_that_a_send_swallows_wakes_the_receiver(endpoints: Endpoints, again: int) -> None:
    """The frame arrives while the loop is busy, then we send: ZMQ_FD will not say it any more."""
    del again
    router = endpoints.bus("call_events", "in").router("in")
    dealer = endpoints.bus("ingest").dealer("call_events", "in")
    await until(lambda: dealer.send_nowait(b"hello"))
    [(peer, _)] = await router.receive_from()
    got: list[bytes] = []

    async def receive() -> None:
        got.extend(await dealer.receive_many())

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            assert router.send_to(peer, b"answer")
            time.sleep(0.02)  # noqa: ASYNC251 - the loop is busy while the answer arrives
            dealer.send_nowait(b"next")
    assert got == [b"answer"]


async def test_one_task_receives(endpoints: Endpoints) -> None:
    """A second one is refused, and the first goes on."""
    _, puller = pair(endpoints)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(puller.receive_many)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await puller.receive_many()
        nursery.cancel_scope.cancel()


async def test_closing_wakes_the_receiver(endpoints: Endpoints) -> None:
    """And whoever comes later is told as well."""
    _, puller = pair(endpoints)

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await puller.receive_many()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        puller.close()
        puller.close()
    await receive()


async def test_a_full_queue_is_refused_and_counted(endpoints: Endpoints) -> None:
    """A talker whose ingest hangs hears of it; nothing waits."""
    pusher, puller = pair(endpoints)
    await connected(pusher)
    sent = 0
    while pusher.send_nowait(b"x" * 4000):
        sent += 1
        assert sent < 100_000
    assert pusher.dropped == 1
    assert not pusher.send_nowait(b"x")
    assert pusher.dropped == 2
    assert AUDIO_QUEUE // 2 < sent < 100 * AUDIO_QUEUE
    del puller


async def test_nobody_there_is_refused_not_queued(endpoints: Endpoints) -> None:
    """Talk that an ingest of the future would hear is worse than none."""
    assert not endpoints.bus("fanout").pusher("ingest", 0, "a", "talk").send_nowait(b"x")
    assert not endpoints.bus("ingest").dealer("call_events", "in").send_nowait(b"x")


async def test_a_slow_subscriber_loses_and_the_others_do_not(endpoints: Endpoints) -> None:
    """What it lost shows as a gap in what it gets; the publisher is never held up."""
    publisher = endpoints.bus("ingest", "pub").publisher("pub")
    slow = endpoints.bus("fanout").subscriber("ingest", "pub")
    quick = endpoints.bus("fanout", index=1).subscriber("ingest", "pub")
    await joined(publisher, slow)
    await joined(publisher, quick)
    got: list[int] = []
    count = 2000
    for index in range(count):
        publisher.send_nowait(b"t%d" % index + b" " * 2000)
        if index % 50 == 49:
            while got[-1:] != [index]:
                got += [int(frame[1:]) for frame in await quick.receive_many()]
            await trio.sleep(0.002)  # libzmq looks for room that was made once a millisecond only
    assert got == list(range(count))
    late = [int(frame[1:]) for frame in slow.receive_nowait(count)]
    assert len(late) < count
    assert late == sorted(late)


async def test_a_second_subscriber_is_told_of_too(endpoints: Endpoints) -> None:
    """It is new to the calls. One that goes takes its interest along only when it was the last."""
    publisher = endpoints.bus("ingest", "pub").publisher("pub")
    first = endpoints.bus("fanout").subscriber("ingest", "pub")
    second = endpoints.bus("fanout", generation=2).subscriber("ingest", "pub")
    await joined(publisher, first)
    await joined(publisher, second)
    first.close()
    await trio.sleep(0.05)
    second.unsubscribe(b"t")
    assert await publisher.receive_many() == [b"\x00t"]


async def test_a_restarted_publisher_is_found_again(endpoints: Endpoints) -> None:
    """The supervisor's socket stays; subscriptions are told to the next process by themselves."""
    first_bus = endpoints.bus("ingest", "pub")
    first = first_bus.publisher("pub")
    subscriber = endpoints.bus("fanout").subscriber("ingest", "pub")
    await joined(first, subscriber)
    got: list[bytes] = []

    async def receive() -> None:
        got.extend(await subscriber.receive_many())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        first_bus.close()
        second = endpoints.bus("ingest", "pub", generation=3).publisher("pub")
        await heard(second, b"t")
        second.send_nowait(b"t again")
    assert got == [b"t again"]


async def test_both_generations_are_heard(endpoints: Endpoints) -> None:
    """During a roll two processes of one index live side by side."""
    old = endpoints.bus("ingest", "pub", generation=1).publisher("pub")
    subscriber = endpoints.bus("fanout").subscriber("ingest", "pub")
    await joined(old, subscriber)
    new = endpoints.bus("ingest", "pub", generation=2).publisher("pub")
    await heard(new, b"t")
    old.send_nowait(b"t old")
    new.send_nowait(b"t new")
    got: set[bytes] = set()
    while got != {b"t old", b"t new"}:
        got.update(await subscriber.receive_many())


async def test_every_index_is_heard(tmp_path: Path) -> None:
    """As many processes as the settings say."""
    endpoints = Endpoints(tmp_path, PATCHBAY_INGEST__PROCESSES="2")
    publishers = [endpoints.bus("ingest", "pub", index=index).publisher("pub") for index in (0, 1)]
    subscriber = endpoints.bus("fanout").subscriber("ingest", "pub", b"t")
    for index, publisher in enumerate(publishers):
        await heard(publisher, b"t")
        publisher.send_nowait(b"t%d" % index)
    got: set[bytes] = set()
    with trio.fail_after(20):
        while got != {b"t0", b"t1"}:
            got.update(await subscriber.receive_many())
    endpoints.close()


async def test_a_peer_that_has_gone_is_refused(endpoints: Endpoints) -> None:
    """An answer to nobody is counted, not an error."""
    router = endpoints.bus("call_events", "in").router("in")
    assert not router.send_to(b"nobody", b"x")
    assert router.dropped == 1


@pytest.mark.parametrize("kind", ["unsent", "unbound"])
async def test_the_end_is_not_held_up(endpoints: Endpoints, kind: str) -> None:
    """Neither by frames that nobody reads nor by a socket that could not be bound."""
    bus: Bus = endpoints.bus("ingest", "pub")
    if kind == "unbound":
        with pytest.raises(KeyError):
            bus.publisher("no such endpoint")
    else:
        publisher = bus.publisher("pub")
        reader = endpoints.bus("fanout").subscriber("ingest", "pub")
        await joined(publisher, reader)
        for _ in range(AUDIO_QUEUE):
            publisher.send_nowait(b"t" + b"x" * 100_000)
    started = time.monotonic()
    await trio.to_thread.run_sync(lambda: None)
    bus.close()
    assert time.monotonic() - started < 10  # a moment, but on a machine with better things to do
