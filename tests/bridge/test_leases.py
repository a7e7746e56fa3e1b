"""Who has a call: what is claimed, renewed, given back and looked up."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from actors.bridge.directory import Directory, Lease
from actors.bridge.leases import RENEW_S, Leases
from actors.bridge.local_calls import LocalCalls
from actors.bridge.store import Unavailable, call_channel
from patchbay.protocol import batches
from tests.bridge.batches import batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

CALL, WANTED = b"c" * 16, b"w" * 16


class FakeStore:
    """Redis, in memory; `is_down` has every command fail."""

    def __init__(self) -> None:
        self.leases: dict[bytes, Lease] = {}
        self.claims = 0
        self.told: list[tuple[str, bytes]] = []
        self.is_down = False
        self.send, self._heard = trio.open_memory_channel[tuple[str, bytes]](100)

    async def receive(self) -> tuple[str, bytes]:
        return await self._heard.receive()

    def check(self) -> None:
        if self.is_down:
            raise Unavailable("down")

    async def claim(self, leases: Sequence[tuple[bytes, Lease]]) -> list[Lease | None]:
        self.check()
        found: list[Lease | None] = []
        for call, lease in leases:
            self.claims += 1
            held = self.leases.get(call)
            found.append(None if held == lease else held)
            if held is None or held.number <= lease.number:
                self.leases[call] = lease
        return found

    async def release(self, leases: Sequence[tuple[bytes, Lease]]) -> None:
        self.check()
        for call, lease in leases:
            if self.leases.get(call) == lease:
                del self.leases[call]

    async def find(self, calls: Sequence[bytes]) -> list[Lease | None]:
        self.check()
        return [self.leases.get(call) for call in calls]

    async def tell(self, node: str, message: bytes) -> None:
        self.told.append((node, message))

    @asynccontextmanager
    async def listening(self, channels: Iterable[str]) -> AsyncIterator[FakeStore]:
        self.check()
        yield self

    async def add(self, channels: Sequence[str]) -> None: ...

    async def remove(self, channels: Sequence[str]) -> None: ...


class World:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.store = FakeStore()
        self.local = LocalCalls()
        self.directory = Directory("here:1")
        self.superseded: list[tuple[bytes, int]] = []
        self.leases = Leases(
            "here:1",
            self.store,  # type: ignore[arg-type]
            self.local,
            self.directory,
            lambda call, number: self.superseded.append((call, number)),
            lambda: None,
        )
        for task in (self.leases.keep, self.leases.look_up, self.leases.listen):
            nursery.start_soon(task)

    async def hears(self, kind: int, number: int) -> None:
        self.local.receive(batch(batches.BRIDGE, batches.news_entry(kind, number, CALL)), 0.0)
        self.leases.wake()
        await trio.sleep(0.1)


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    made = World(nursery)
    await trio.testing.wait_all_tasks_blocked()
    return made


async def test_a_call_is_claimed_renewed_and_given_back(autojump_clock: trio.testing.MockClock, world: World) -> None:
    await world.hears(batches.START, 5)
    assert world.store.leases == {CALL: Lease(5, "here:1")}
    claims = world.store.claims
    await trio.sleep(RENEW_S + 0.1)
    assert world.store.claims == claims + 1
    await world.hears(batches.STOP, 5)
    assert world.store.leases == {}


async def test_a_later_stream_elsewhere(autojump_clock: trio.testing.MockClock, world: World) -> None:
    world.store.leases[CALL] = Lease(9, "other:1")
    await world.hears(batches.START, 5)
    assert world.superseded == [(CALL, 9)]
    assert world.local.get(CALL) is None
    assert world.store.leases == {CALL: Lease(9, "other:1")}


async def test_the_node_that_loses_is_told(autojump_clock: trio.testing.MockClock, world: World) -> None:
    world.store.leases[CALL] = Lease(4, "other:1")
    await world.hears(batches.START, 5)
    assert world.store.told == [("other:1", CALL + (5).to_bytes(8, "little"))]


async def test_a_node_that_is_told_loses(autojump_clock: trio.testing.MockClock, world: World) -> None:
    await world.hears(batches.START, 5)
    await world.store.send.send(("patchbay:node:here:1", CALL + (4).to_bytes(8, "little")))
    await world.store.send.send(("patchbay:node:here:1", b"rubbish"))
    await trio.sleep(0.1)
    assert world.superseded == []
    await world.store.send.send(("patchbay:node:here:1", CALL + (6).to_bytes(8, "little")))
    await trio.sleep(0.1)
    assert world.superseded == [(CALL, 6)]


async def test_redis_comes_back_empty(autojump_clock: trio.testing.MockClock, world: World) -> None:
    world.store.is_down = True
    await world.hears(batches.START, 5)
    assert not world.leases.is_available
    world.store.is_down = False
    await trio.sleep(1)
    assert world.leases.is_available
    assert world.store.leases == {CALL: Lease(5, "here:1")}
    world.store.leases.clear()
    await trio.sleep(RENEW_S + 0.1)
    assert world.store.leases == {CALL: Lease(5, "here:1")}


async def test_a_wanted_call_is_found(autojump_clock: trio.testing.MockClock, world: World) -> None:
    """Where its lease is, or as soon as somebody takes one."""
    world.directory.want(WANTED)
    world.leases.wake()
    await trio.sleep(0.1)
    assert world.directory.node_of(WANTED) is None
    await world.store.send.send((call_channel(WANTED), Lease(3, "other:1").encode().encode()))
    await trio.sleep(0.1)
    assert world.directory.node_of(WANTED) == "other:1"
    world.store.leases[WANTED] = Lease(4, "third:1")
    await trio.sleep(6)
    assert world.directory.node_of(WANTED) == "third:1"
