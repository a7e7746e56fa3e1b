"""The dispatcher: what is committed goes everywhere, and clients that stand still are given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
import trio

from actors.call_events.calls.call_state import CallState
from actors.call_events.dispatcher import Dispatcher
from actors.call_events.entry import Interest, entry_of
from actors.call_events.journal.interface import Commit, Opened
from config.settings import EventSettings
from tests.call_events.samples import arrival

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from actors.call_events.entry import Entry


class FakeClient:
    """Pulls all there is, unless it is told to stand still."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.cursor = dispatcher.tail.last
        self.written = 0
        self.behind = False
        self.epoch = dispatcher.epoch
        self.reason = ""
        dispatcher.join(self)

    def pull(self) -> None:
        if not self.behind:
            self.cursor = self.dispatcher.tail.last
            self.written += 1

    def switch_journal(self, epoch: str, offset: int) -> None:
        self.epoch, self.cursor = epoch, offset

    def evict(self, reason: str) -> None:
        self.reason = reason


def entry(offset: int) -> Entry:
    return entry_of(arrival(offset).event, offset, "7")


def opened(epoch: str, last: int, *entries: Entry) -> Opened:
    return Opened(epoch, last, 1, list(entries), {})


@pytest.fixture
async def dispatcher() -> AsyncIterator[Dispatcher]:
    found = Dispatcher(EventSettings())
    found.opened(opened("7", 10, entry(9), entry(10)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.deliver)
        nursery.start_soon(found.watch_progress)
        yield found
        nursery.cancel_scope.cancel()


async def test_everybody_is_told_of_a_commit(dispatcher: Dispatcher, autojump_clock: MockClock) -> None:
    clients = [FakeClient(dispatcher) for _ in range(300)]
    live, over = CallState("v3:a", phase=1), CallState("v3:a", phase=5)
    dispatcher.committed(Commit([entry(11)], {"v3:a": live}, [True]))
    assert dispatcher.calls == {"v3:a": live}
    await trio.sleep(1)
    assert {client.cursor for client in clients} == {11}
    dispatcher.committed(Commit([entry(12)], {"v3:a": over}, [True]))
    assert not dispatcher.calls
    dispatcher.leave(clients[0])
    dispatcher.leave(clients[0])
    await trio.sleep(1)
    assert [clients[0].cursor, clients[1].cursor] == [11, 12]
    assert dispatcher.gauges()["clients"] == 299


async def test_the_same_journal_opened_again_changes_nothing_but_what_is_new(dispatcher: Dispatcher) -> None:
    client = FakeClient(dispatcher)
    dispatcher.opened(opened("7", 11, entry(10), entry(11)))
    assert (dispatcher.tail.before, dispatcher.tail.last, client.epoch) == (8, 11, "7")


async def test_in_another_journal_those_go_on_who_had_all_of_the_old_one(dispatcher: Dispatcher) -> None:
    quick, slow = FakeClient(dispatcher), FakeClient(dispatcher)
    slow.cursor = 9
    dispatcher.opened(opened("8", 1000))
    assert (quick.epoch, quick.cursor) == ("8", 1000)
    assert (slow.epoch, slow.cursor) == ("7", 9)


async def test_only_those_who_stand_still_are_given_up(dispatcher: Dispatcher, autojump_clock: MockClock) -> None:
    quick, slow, stuck = (FakeClient(dispatcher) for _ in range(3))
    slow.behind = stuck.behind = True
    for _ in range(15):
        await trio.sleep(1)
        slow.written += 1
    assert [bool(client.reason) for client in (quick, slow, stuck)] == [False, False, True]
    assert "since" in stuck.reason


def test_the_first_words() -> None:
    dispatcher = Dispatcher(EventSettings())
    dispatcher.opened(Opened("7", 10, 1, [], {"v3:a": CallState("v3:a", phase=1), "v3:b": CallState("v3:b", phase=1)}))
    plain = dispatcher.welcome(Interest(), resume=False, recovered=True, snapshot=False)
    assert orjson.loads(plain[2:]) == {"type": "welcome", "message": "Connected to call events WebSocket"}
    words = dispatcher.welcome(Interest(frozenset({"v3:b"})), resume=True, recovered=True, snapshot=False)
    assert b'"recovered":true' in words
    assert b'"call_control_id":"v3:b"' in words
    assert b"v3:a" not in words
