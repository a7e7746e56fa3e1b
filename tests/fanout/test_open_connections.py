"""Events of talk reach their connection, and closed connections still count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from actors.fanout.batch_signal import BatchSignal
from actors.fanout.open_connections import OpenConnections
from patchbay.protocol import batches


class Talking:
    def __init__(self) -> None:
        self.participant = cast("Any", self)
        self.events: list[tuple[object, ...]] = []

    def on_refused(self, title: str, detail: str) -> None:
        self.events.append((title, detail))

    def on_dropped(self, title: str, ms: float) -> None:
        self.events.append((title, ms))

    def on_mark(self, name: str, stream_id: str | None) -> None:
        self.events.append((name, stream_id))


class Peer:
    def __init__(self, number: int, dropped: int) -> None:
        self.handed = SimpleNamespace(id=number)
        self.send_queue = SimpleNamespace(dropped=dropped)


def peer(number: int, dropped: int) -> Any:
    return Peer(number, dropped)


@pytest.mark.parametrize(
    ("kind", "fields", "event"),
    [
        (batches.REFUSED, {"title": "floor_taken", "detail": "x"}, ("floor_taken", "x")),
        (batches.DROPPED, {"title": "talk_late", "dropped_ms": 20.0}, ("talk_late", 20.0)),
        (batches.MARKED, {"name": "m", "stream_id": "s"}, ("m", "s")),
    ],
)
def test_talk_events_reach_their_connection(kind: int, fields: dict[str, Any], event: tuple[object, ...]) -> None:
    """By its number, while it is open; others get nothing."""
    found, one, other = OpenConnections(), Talking(), Talking()
    with found.registered(peer(1, 0), one), found.registered(peer(2, 0), other):
        found.on_talk_event(kind, {"talker": "1", **fields})
        assert found.participant(1) is one.participant
    found.on_talk_event(kind, {"talker": "1", **fields})
    assert (one.events, other.events) == ([event], [])
    assert found.participant(1) is None


def test_dropped_audio_of_closed_connections_counts() -> None:
    """A counter never goes back."""
    found = OpenConnections()
    with found.registered(peer(1, 3), Talking()):
        with found.registered(peer(2, 4), Talking()):
            assert found.audio_dropped == 7
        assert found.audio_dropped == 7
    assert found.audio_dropped == 7
    assert not found.peers


@pytest.mark.usefixtures("autojump_clock")
async def test_a_condition_is_looked_at_after_each_notice() -> None:
    """And not waited for longer than allowed."""
    signal, states = BatchSignal(), iter([False, False, True])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_notify_each_second, signal, 2)
        assert await signal.wait_until(lambda: next(states), 10.0)
    assert not await signal.wait_until(lambda: False, 1.0)
    signal.notify()


async def _notify_each_second(signal: BatchSignal, times: int) -> None:
    for _ in range(times):
        await trio.sleep(1)
        signal.notify()
