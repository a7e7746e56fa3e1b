"""Events reach `call_events` at least once, whatever it does in between."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from actors.runtime.event_sender import RESEND_FIRST_S, RESEND_MAX_S, EventSender, PendingEvents
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
        assert sender.statistics()["events_unacknowledged"] == 1
        dealer.arrive(b"unknown", sent["id"].encode(), sent["id"].encode(), b"\xff")
        await sender.flush()
        assert sender.statistics() == {
            "events_sent": 1,
            "events_acknowledged": 1,
            "events_unacknowledged": 0,
            "events_dropped": 0,
        }
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
    assert sender.statistics()["events_dropped"] == 3
    await wait_all_tasks_blocked()


async def test_a_payload_that_cannot_be_written_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    dealer = FakeSocket()
    sender = EventSender(dealer, limit=3)
    nested: dict[str, object] = {}
    for _ in range(1000):
        nested = {"deeper": nested}
    sender.send_nowait("stream.error", nested)
    assert dealer.sent == []
    assert sender.counters["events_unwritable"] == 1
    assert "left out" in caplog.text


@given(st.lists(st.tuples(st.sampled_from(["add", "ack", "send", "wait"]), st.integers(0, 5)), max_size=60))
def test_pending_events_are_bounded_and_what_is_acknowledged_never_comes_again(steps: list[tuple[str, int]]) -> None:
    pending, now, expected = PendingEvents(3), 0.0, dict[str, None]()
    for step, number in steps:
        name = str(number)
        if step == "add" and name not in expected:
            pending.add(name, name.encode(), now)
            expected[name] = None
            if len(expected) > 3:
                del expected[next(iter(expected))]
        elif step == "ack":
            assert pending.acknowledge(name) == (name in expected)
            expected.pop(name, None)
        elif step == "send":
            for event_id, _ in list(pending.due(now)):
                pending.sent(event_id, now)
            assert not list(pending.due(now))
            assert not list(pending.due(now + RESEND_FIRST_S / 2))
        else:
            now += number
        assert len(pending) == len(expected)
        assert [event_id for event_id, _ in pending.due(now + RESEND_MAX_S)] == list(expected)
