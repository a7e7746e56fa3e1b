"""Events reach `call_events` at least once, whatever it does in between."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import trio
from trio.testing import wait_all_tasks_blocked

from patchbay.bus.event_sender import ACKNOWLEDGED_APART_S, EventSender
from tests.fakes.bus import FakeSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest
    from trio.testing import MockClock


@asynccontextmanager
async def running(sender: EventSender) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        yield
        nursery.cancel_scope.cancel()


def ids(frames: list[bytes]) -> list[str]:
    return [orjson.loads(frame)["id"] for frame in frames]


async def test_an_event_leaves_at_once_and_is_let_go_when_acknowledged() -> None:
    dealer = FakeSocket()
    sender = EventSender(dealer, limit=10)
    async with running(sender):
        sender.send_nowait("stream.started", {"call_control_id": "v3:a"}, "2026-01-01T00:00:00Z")
        sent = orjson.loads(dealer.sent[0])
        assert sent["type"] == "stream.started"
        assert sent["occurred_at"] == "2026-01-01T00:00:00Z"
        assert sent["payload"] == {"call_control_id": "v3:a"}
        assert sender.totals().get("events_acknowledged") is None
        dealer.arrive(b"unknown", sent["id"].encode(), sent["id"].encode(), b"\xff")
        await sender.flush()
        counted = {"events_sent": 1, "events_acknowledged": 1, "events_dropped": 0, "events_dropped_floods": 0}
        assert sender.totals() == counted
        await sender.flush()


async def test_what_gets_no_answer_is_sent_again_ever_more_slowly(autojump_clock: MockClock) -> None:
    dealer = FakeSocket()
    sender = EventSender(dealer, limit=10)
    async with running(sender):
        sender.send_nowait("stream.started", {})
        await trio.sleep(60)
        assert len(set(ids(dealer.sent))) == 1
        assert 5 <= len(dealer.sent) <= 9


async def test_what_had_no_peer_leaves_in_order_as_soon_as_there_is_one(autojump_clock: MockClock) -> None:
    dealer = FakeSocket()
    sender = EventSender(dealer, limit=10)
    async with running(sender):
        dealer.accepts = False
        for index in range(5):
            sender.send_nowait("stream.started", {"index": index})
        await trio.sleep(100)
        assert dealer.sent == []
        dealer.accepts = True
        await trio.sleep(0.5)
        assert [orjson.loads(frame)["payload"]["index"] for frame in dealer.sent] == list(range(5))
        dealer.arrive(*(each.encode() for each in ids(dealer.sent)))
        await sender.flush()
        await trio.sleep(100)
        assert len(dealer.sent) == 5


async def test_beyond_the_limit_the_oldest_goes_and_is_counted() -> None:
    dealer = FakeSocket()
    dealer.accepts = False
    sender = EventSender(dealer, limit=3)
    for index in range(5):
        sender.send_nowait("stream.started", {"index": index})
    dealer.accepts = True
    sender.send_nowait("stream.stopped", {"index": 5})
    assert [orjson.loads(frame)["payload"]["index"] for frame in dealer.sent] == [3, 4, 5]
    assert sender.totals()["events_dropped"] == 3
    await wait_all_tasks_blocked()


async def test_a_payload_that_is_no_json_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    dealer = FakeSocket()
    sender = EventSender(dealer, limit=3)
    sender.send_nowait("stream.error", {"a": object()})
    assert dealer.sent == []
    assert sender.counters["events_unwritable"] == 1
    assert "can't be written as JSON" in caplog.text


async def test_what_a_peer_said_does_not_cost_the_event() -> None:
    """Half an emoji, a number without end, nesting without end: the rest of it is told."""
    dealer = FakeSocket()
    sender = EventSender(dealer, limit=3)
    nested: dict[str, object] = {}
    for _ in range(1000):
        nested = {"deeper": nested}
    sender.send_nowait("listener.joined", {"sub": "half \ud83d", "n": 10**30, "nested": nested, "connection": "7"})
    payload = orjson.loads(dealer.sent[0])["payload"]
    assert (payload["sub"], payload["n"], payload["connection"]) == ("half \ufffd", None, "7")


async def test_a_flood_pushes_nothing_out_that_was_promised(autojump_clock: MockClock) -> None:
    """Keys and marks while nobody acknowledges; what they lose is told, by stream, once somebody does."""
    dealer = FakeSocket()
    dealer.accepts = False
    sender = EventSender(dealer, limit=40)
    async with running(sender):
        sender.send_nowait("stream.started", {"call_control_id": "v3:a", "stream_id": "s"}, source=7)
        sender.send_nowait("floor.taken", {"call_control_id": "v3:a", "connection": "8"})
        for number in range(1000):
            kind = ("stream.dtmf", "stream.mark", "stream.error")[number % 3]
            sender.send_nowait(kind, {"call_control_id": "v3:a", "stream_id": "s", "number": number}, source=7)
        sender.send_nowait("stream.stopped", {"call_control_id": "v3:a", "stream_id": "s"}, source=7)
        assert sender.totals()["events_dropped"] == sender.totals()["events_dropped_floods"] == 990
        dealer.accepts = True
        await trio.sleep(0.5)
        kinds = [orjson.loads(frame)["type"] for frame in dealer.sent]
        assert kinds[:3] == ["stream.started", "floor.taken", "stream.stopped"]
        dealer.arrive(*(each.encode() for each in ids(dealer.sent)))
        await wait_all_tasks_blocked()
        told = orjson.loads(dealer.sent[-1])
        assert told["type"] == "events.lost"
        lost = told["payload"].pop("lost")
        assert told["payload"] == {"call_control_id": "v3:a", "stream_id": "s"}
        assert sum(lost.values()) == 990
        dealer.arrive(told["id"].encode())
        await sender.flush()
        assert len(dealer.sent) == 14


async def test_acknowledgements_of_a_flood_are_taken_together(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each by itself, one a millisecond, they would wake the process as often."""
    dealer = FakeSocket()
    sender = EventSender(dealer, limit=1000)
    wakes, receive_many = 0, dealer.receive_many

    async def counted(limit: int = 64) -> list[bytes]:
        nonlocal wakes
        frames = await receive_many(limit)
        wakes += 1
        return frames

    monkeypatch.setattr(dealer, "receive_many", counted)
    with trio.fail_after(60):
        async with running(sender):
            for _ in range(200):
                sender.send_nowait("stream.started", {})
            for event_id in ids(dealer.sent):
                dealer.arrive(event_id.encode())
                await trio.sleep(0.001)
            await sender.flush()
    assert sender.totals()["events_acknowledged"] == 200
    assert wakes <= 200 * 0.001 / ACKNOWLEDGED_APART_S + 2
