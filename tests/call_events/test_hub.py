"""The hub: each event once, in order, to those it is for."""

from __future__ import annotations

import orjson

from actors.call_events.client import wanted_calls
from actors.call_events.events import Event
from actors.call_events.hub import Client, Hub
from actors.call_events.memory_log import MemoryLog
from actors.wire.request import parse_head


class Outlet:
    """A client's queue with room for so many."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.frames: list[bytes] = []

    def offer(self, frame: bytes) -> bool:
        if len(self.frames) >= self.room:
            return False
        self.frames.append(frame)
        return True

    def replay(self, frames: list[bytes]) -> None:
        self.frames += frames

    def said(self) -> list[dict[str, object]]:
        """What the client reads; the frames here are short."""
        return [orjson.loads(frame[2:] if frame[1] < 126 else frame[4:]) for frame in self.frames]

    def ids(self) -> list[object]:
        return [event.get("id") for event in self.said()]


def event(name: str, call: str | None = None) -> Event:
    return Event(name, "call.answered", "2026-01-01T00:00:00Z", orjson.dumps({"call_control_id": call}), call)


class World:
    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.log = MemoryLog(epoch="7", first_offset=10, max_events=3, max_bytes=10**6, max_ids=100)
        self.hub = Hub(self.log, self.published.append)
        self.slow: list[str] = []

    def join(
        self, calls: set[str] | None = None, *, room: int = 1000, since: int | None = None, welcome: bool = True
    ) -> Outlet:
        outlet = Outlet(room)
        client = Client(outlet, None if calls is None else frozenset(calls), lambda: self.slow.append("slow"))
        self.hub.join(client, welcome=welcome, since=since)
        return outlet


async def test_the_welcome_is_the_contracts_and_events_follow_in_one_encoding() -> None:
    world = World()
    one, two = world.join(), world.join()
    assert await world.hub.record(event("a"))
    assert not await world.hub.record(event("a"))
    assert await world.hub.record(event("b"))
    assert one.said()[0] == {"type": "welcome", "message": "Connected to call events WebSocket"}
    assert one.ids()[1:] == two.ids()[1:] == ["a", "b"]
    assert all(mine is theirs for mine, theirs in zip(one.frames[1:], two.frames[1:], strict=True))
    assert [frame[:1] for frame in world.published] == [b"e", b"e"]
    assert orjson.loads(world.published[1][1:]) == one.said()[2]
    assert world.hub.counters["events_repeated"] == 1


async def test_a_client_that_names_calls_hears_of_no_other() -> None:
    world = World()
    every, named, none = world.join(), world.join({"v3:a", "v3:b"}), world.join(set())
    for name, call in (("1", "v3:a"), ("2", "v3:c"), ("3", None), ("4", "v3:b")):
        await world.hub.record(event(name, call))
    assert every.ids()[1:] == ["1", "2", "3", "4"]
    assert named.ids()[1:] == ["1", "4"]
    assert none.ids()[1:] == []


async def test_a_client_that_comes_back_gets_what_it_missed_then_what_comes() -> None:
    world = World()
    for name in ("a", "b", "c"):
        await world.hub.record(event(name, "v3:a"))
    outlet, other = world.join(since=10), world.join({"v3:other"}, since=10)
    await world.hub.record(event("d", "v3:a"))
    welcome = outlet.said()[0]
    assert welcome["recovered"] is True
    assert (welcome["offset"], welcome["epoch"]) == (12, "7")
    assert outlet.ids()[1:] == ["b", "c", "d"]
    assert other.ids()[1:] == []
    assert world.join(since=9).said()[0]["recovered"] is False
    assert world.join(since=99).said()[0]["recovered"] is False


async def test_a_resumed_client_gets_no_second_welcome() -> None:
    world = World()
    assert world.join(welcome=False).frames == []


async def test_a_slow_client_is_told_once_gets_nothing_more_and_costs_the_others_nothing() -> None:
    world = World()
    slow, quick = world.join(room=3), world.join()
    for number in range(10):
        await world.hub.record(event(str(number)))
    assert slow.ids()[1:] == ["0", "1"]
    assert quick.ids()[1:] == [str(number) for number in range(10)]
    assert world.slow == ["slow"]


async def test_who_has_left_gets_nothing() -> None:
    world = World()
    outlet = Outlet()
    client = Client(outlet, None, lambda: None)
    world.hub.join(client, welcome=True, since=None)
    world.hub.leave(client)
    world.hub.leave(client)
    await world.hub.record(event("a"))
    assert outlet.ids() == [None]
    assert world.hub.gauges()["clients"] == 0


def test_the_calls_of_a_client_are_those_it_names_of_those_it_may_have() -> None:
    def wanted(query: str, claims: dict[str, object] | None) -> set[str] | None:
        head = parse_head(f"GET /call-events{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        calls = wanted_calls(head, claims)
        return None if calls is None else set(calls)

    two = "?call_control_id=v3%3Aa&callId=v3%3Ab"
    assert wanted("", None) is None
    assert wanted(two, None) == {"v3:a", "v3:b"}
    assert wanted("", {"calls": "*"}) is None
    assert wanted(two, {"calls": "*"}) == {"v3:a", "v3:b"}
    assert wanted("", {"calls": ["v3:a"]}) == {"v3:a"}
    assert wanted(two, {"calls": ["v3:a", "v3:c"]}) == {"v3:a"}
    assert wanted("?call_id=v3%3Ac", {"calls": ["v3:a"]}) == set()
    assert wanted("", {}) == set()
