"""One message a round for each fan-out that wants something, and numbers that show a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio

from patchbay.bus.batcher import INTEREST_GRACE_S, Batcher
from patchbay.process.identity import Identity
from patchbay.protocol import batches
from tests.fakes.bus import FakeSocket, entries_of

if TYPE_CHECKING:
    from patchbay.bus.sockets import BusSocket

CALL, OTHER = batches.digest("a"), batches.digest("b")


class Told:
    """A Batcher, and what it told."""

    def __init__(self) -> None:
        self.publisher = FakeSocket()
        self.fanouts: list[int] = []
        self.changes: list[bytes] = []
        identity = Identity("ingest", 2, 2, epoch=77)
        self.batcher = Batcher(
            cast("BusSocket", self.publisher), identity, on_fanout=self.fanouts.append, on_interest=self.changes.append
        )

    def hear(self, wanted: bool, index: int, call: bytes | None = None) -> None:
        topic = batches.batch_topic(index) if call is None else batches.interest_topic(index, call)
        self.batcher.on_subscription(bytes([wanted]) + topic)


async def test_who_wants_what() -> None:
    """By call, or every call; interest without the fan-out itself goes nowhere."""
    told = Told()
    told.hear(True, 0, CALL)
    assert told.batcher.queues_of(CALL) == ()
    told.hear(True, 0)
    told.hear(True, 1)
    told.hear(True, 1, batches.EVERY_CALL)
    first, second = (told.batcher.queue(index) for index in (0, 1))
    assert first is not None
    assert second is not None
    assert [id(queue) for queue in told.batcher.queues_of(CALL)] == [id(first), id(second)]
    assert [id(queue) for queue in told.batcher.queues_of(OTHER)] == [id(second)]
    told.hear(False, 0, CALL)
    told.hear(False, 0, CALL)
    told.batcher.expire_interest(float("inf"))
    assert [id(queue) for queue in told.batcher.queues_of(CALL)] == [id(second)]
    told.hear(False, 1)
    assert told.batcher.queues_of(CALL) == ()
    assert told.fanouts == [0, 1]
    assert told.changes.count(batches.EVERY_CALL) == 4


async def test_who_wants_something_is_told_that_it_is_known() -> None:
    """As often as it says so, and nobody else."""
    told = Told()
    for index in (0, 1):
        told.hear(True, index)
    told.hear(True, 1, CALL)
    told.hear(True, 1, batches.EVERY_CALL)
    told.hear(False, 1, CALL)
    told.hear(True, 1, CALL)
    told.batcher.flush()
    [message] = told.publisher.sent
    assert message.startswith(batches.batch_topic(1))
    entries = entries_of(message)
    assert [(entry.kind, entry.call) for entry in entries] == [
        (batches.ACKNOWLEDGED, call) for call in (CALL, batches.EVERY_CALL, CALL)
    ]


async def test_interest_outlives_a_restart() -> None:
    """A fan-out that has gone and comes again in a moment has missed nothing; one that does not is forgotten."""
    told = Told()
    told.hear(True, 0)
    told.hear(True, 0, CALL)
    told.hear(False, 0, CALL)
    told.batcher.expire_interest(trio.current_time() + INTEREST_GRACE_S / 2)
    assert len(told.batcher.queues_of(CALL)) == 1
    told.hear(True, 0, CALL)
    told.batcher.expire_interest(float("inf"))
    assert len(told.batcher.queues_of(CALL)) == 1
    told.hear(False, 0, CALL)
    told.batcher.expire_interest(float("inf"))
    assert told.batcher.queues_of(CALL) == ()
    assert told.batcher._interest == {}
    assert told.changes[-1] == CALL


def test_one_message_a_round() -> None:
    """In order, numbered for each fan-out by itself; none when there is nothing."""
    told = Told()
    told.hear(True, 0)
    told.hear(True, 1)
    entry = batches.news_entry(batches.GONE, 5, CALL)
    for _ in range(2):
        queue = told.batcher.queue(0)
        assert queue is not None
        queue += [entry, entry]
        told.batcher.flush()
        told.batcher.flush()
    assert told.batcher.batches == len(told.publisher.sent) == 2
    for number, message in enumerate(told.publisher.sent, 1):
        assert message.startswith(batches.batch_topic(0))
        batch, _ = batches.unpack_batch(message)
        assert (batch.ingest, batch.slot, batch.epoch, batch.sequence) == (2, "b", 77, number)
        assert len(list(entries_of(message))) == 2


def test_other_topics_are_not_ours() -> None:
    """The console subscribes to statistics."""
    told = Told()
    told.batcher.on_subscription(b"\x01" + batches.STATS_TOPIC)
    told.batcher.on_subscription(b"")
    assert (told.fanouts, told.changes) == ([], [])
