"""Which events are kept while nobody acknowledges them, and which are due."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.bus.pending_events import (
    FLOOD_SOURCE_MAX,
    LOST_SOURCES_MAX,
    RESEND_FIRST_S,
    RESEND_MAX_S,
    Event,
    EventQueue,
    PendingEvents,
)


def event(name: str, kind: str = "listener.joined", source: object = "a", **payload: object) -> Event:
    return Event(name, kind, source, name.encode(), payload)


def all_due(pending: PendingEvents, now: float) -> list[str]:
    """What leaves now."""
    found = []
    while (each := pending.first_due(now)) is not None:
        found.append(each.id)
        pending.mark_sent(each, now)
    return found


@given(st.lists(st.tuples(st.sampled_from(["add", "ack", "send", "wait"]), st.integers(0, 5)), max_size=60))
def test_pending_events_are_bounded_and_what_is_acknowledged_never_comes_again(steps: list[tuple[str, int]]) -> None:
    pending, now, expected = PendingEvents(3), 0.0, dict[str, None]()
    for step, number in steps:
        name = str(number)
        if step == "add" and name not in expected:
            pending.add(event(name))
            expected[name] = None
            if len(expected) > 3:
                del expected[next(iter(expected))]
        elif step == "ack":
            assert pending.acknowledge(name) == (name in expected)
            expected.pop(name, None)
        elif step == "send":
            assert set(all_due(pending, now)) <= expected.keys()
            assert all_due(pending, now) == all_due(pending, now + RESEND_FIRST_S / 2) == []
        else:
            now += number
        assert len(pending) == len(expected)
    assert sorted(all_due(pending, now + RESEND_MAX_S)) == sorted(expected)


sources = st.sampled_from("abcd")


@given(st.lists(st.tuples(st.booleans(), sources), max_size=80), st.integers(1, 6), st.integers(1, 4))
def test_a_queue_is_as_a_plain_list_would_be(steps: list[tuple[bool, str]], limit: int, of_source: int) -> None:
    """The source with the most gives way, and it alone where it has more than one source may have."""
    queue, kept = EventQueue(limit, of_source), list[Event]()
    for number, (adds, source) in enumerate(steps):
        if adds:
            gone = queue.add(added := event(str(number), source=source))
            kept.append(added)
            counts = Counter(each.source for each in kept)
            if counts[source] > of_source:
                assert gone is next(each for each in kept if each.source == source)
            elif len(kept) > limit:
                assert gone is not None
                assert counts[gone.source] == max(counts.values())
                assert gone is next(each for each in kept if each.source == gone.source)
            else:
                assert gone is None
            kept = [each for each in kept if each is not gone]
        elif kept:
            assert queue.remove(kept[0].id) is kept.pop(0)
        assert len(queue) == len(kept) <= limit


def test_one_source_pushes_out_nobody_else() -> None:
    """A client that joins and leaves without end, say, while others do so once."""
    pending = PendingEvents(100)
    for number in range(50):
        pending.add(event(f"lawful {number}", source=number))
    for number in range(10_000):
        pending.add(event(f"flood {number}", source="flood"))
    left = all_due(pending, 0.0)
    assert left[:50] == [f"lawful {number}" for number in range(50)]
    assert left[50:] == [f"flood {number}" for number in range(9950, 10_000)]
    assert pending.dropped == {"listener.joined": 9950}


@pytest.mark.parametrize("kind", ["stream.dtmf", "stream.mark", "stream.error"])
def test_keys_and_marks_of_one_stream_leave_room_for_others(kind: str) -> None:
    pending = PendingEvents(100_000)
    for number in range(1000):
        pending.add(event(f"flood {number}", kind, source="flood"))
    pending.add(event("lawful", kind, source="lawful"))
    assert len(pending) == FLOOD_SOURCE_MAX + 1
    assert all_due(pending, 0.0)[-1] == "lawful"


def test_what_was_promised_leaves_first() -> None:
    pending = PendingEvents(10)
    pending.add(event("key", "stream.dtmf"))
    pending.add(event("audit"))
    assert all_due(pending, 0.0) == ["audit", "key"]


def test_what_was_lost_is_told_once_by_source() -> None:
    pending = PendingEvents(8)
    for number in range(5):
        pending.add(event(f"k{number}", "stream.dtmf", 7, call_control_id="v3:a", stream_id="s"))
        pending.add(event(f"m{number}", "stream.mark", 7, call_control_id="v3:a", stream_id="s"))
    about = {"call_control_id": "v3:a", "stream_id": "s"}
    assert pending.take_lost() == [(7, {**about, "lost": {"stream.dtmf": 4, "stream.mark": 4}})]
    assert pending.take_lost() == []
    for number in range(LOST_SOURCES_MAX + 50):
        for again in range(3):
            pending.add(event(f"{number} {again}", "stream.dtmf", number))
    lost = pending.take_lost()
    assert len(lost) == LOST_SOURCES_MAX + 1
    assert sum(sum(payload["lost"].values()) for _, payload in lost) == 3 * (LOST_SOURCES_MAX + 50) - len(pending) + 2


def test_a_thousand_times_as_many_cost_a_thousand_times_as_much() -> None:
    """Neither adding, nor sending, nor letting go looks through all that wait: counted, not timed."""
    looked_at = 0

    class Counted(Event):
        def __getattribute__(self, name: str) -> object:
            nonlocal looked_at
            looked_at += name == "due_at"
            return super().__getattribute__(name)

    pending = PendingEvents(20_000)
    for number in range(20_000):
        pending.add(Counted(str(number), "listener.joined", number, b""))
        due = pending.first_due(0.0)
        assert due is not None
        pending.mark_sent(due, 0.0)
        assert pending.first_due(0.0) is None
    assert looked_at <= 3 * 20_000
    for number in range(20_000):
        assert pending.acknowledge(str(number))
    assert len(pending) == 0
