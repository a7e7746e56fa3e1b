"""The state of a call: whatever the order in which its events come, and however often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.call_events.calls.call_state import CallState, merge, of_event, view
from actors.call_events.events import Event
from patchbay.protocol.times import timestamp

if TYPE_CHECKING:
    from random import Random

TYPES = [
    "call.initiated", "call.answered", "call.bridged", "call.hangup", "call.hold", "call.unhold", "call.cost", "call.lost",
    "streaming.started", "streaming.stopped", "stream.started", "stream.stopped", "stream.failed", "floor.taken",
    "floor.released", "call.dtmf.received", "something.new",
]  # fmt: skip


def event(kind: str, second: int = 0, number: int = 0, **payload: object) -> Event:
    occurred_at = timestamp(1_767_225_600_000_000 + second * 1_000_000)
    return Event(f"{kind} {second} {number}", kind, occurred_at, orjson.dumps(payload), "v3:a", payload)


def fold(*events: Event) -> CallState:
    state: CallState | None = None
    for each in events:
        told = of_event(each)
        assert told is not None
        state = told if state is None else merge(state, told)
    assert state is not None
    return state


events = st.lists(
    st.builds(
        event,
        st.sampled_from(TYPES),
        st.integers(0, 5),
        st.integers(0, 3),
        stream_id=st.sampled_from(["s1", "s2", "s3"]),
        hangup_cause=st.just("normal_clearing"),
        talker=st.sampled_from(["7", "8"]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda each: each.id,
)


@given(events, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_ends_in_the_same_state(found: list[Event], random: Random) -> None:
    shuffled = found + random.choices(found, k=len(found))
    random.shuffle(shuffled)
    assert fold(*shuffled) == fold(*found)


@given(events, events, events)
def test_it_is_a_lattice(one: list[Event], two: list[Event], three: list[Event]) -> None:
    a, b, c = fold(*one), fold(*two), fold(*three)
    assert merge(a, a) == a
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(events)
def test_a_hangup_is_terminal(found: list[Event]) -> None:
    assert not fold(event("call.hangup", 3), *found).is_live


@given(st.permutations(range(100)))
def test_so_it_is_with_more_streams_than_are_kept(order: list[int]) -> None:
    each = [event("stream.started", number, stream_id=str(number)) for number in range(100)]
    assert fold(*(each[number] for number in order)) == fold(*each)


@pytest.mark.parametrize(
    ("found", "is_live"),
    [
        ([event("call.initiated")], True),
        ([event("call.cost")], False),
        ([event("something.new")], False),
        ([event("stream.started", stream_id="s")], True),
        ([event("stream.started", stream_id="s"), event("stream.stopped", 1, stream_id="s")], False),
        ([event("stream.started", 1, stream_id="t"), event("stream.stopped", 2, stream_id="s")], True),
        ([event("streaming.started"), event("stream.stopped", 1, stream_id="s")], False),
        ([event("call.answered"), event("stream.stopped", 1, stream_id="s")], True),
        ([event("call.answered"), event("call.lost", 1)], False),
        ([event("call.answered"), event("call.lost", 1), event("call.dtmf.received", 2)], True),
        ([event("call.hangup"), event("call.answered", 1)], False),
    ],
)
def test_which_calls_are_live(found: list[Event], is_live: bool) -> None:
    assert fold(*found).is_live == is_live


def test_the_view_of_a_call() -> None:
    state = fold(
        event("call.answered", 2),
        event("call.hold", 3),
        event("call.initiated", 1, 0, **{"from": "+1", "to": "+2", "direction": "incoming", "call_session_id": "s"}),
        event("stream.started", 4, stream_id="x"),
        event("floor.taken", 5, talker="7"),
    )
    assert view(state) == {
        "call_control_id": "v3:a",
        "call_session_id": "s",
        "direction": "incoming",
        "from": "+1",
        "to": "+2",
        "state": "answered",
        "held": True,
        "streaming": True,
        "talker": "7",
        "started_at": "2026-01-01T00:00:01.000000Z",
        "answered_at": "2026-01-01T00:00:02.000000Z",
        "last_event_at": "2026-01-01T00:00:05.000000Z",
    }


def test_an_event_about_no_call_tells_nothing() -> None:
    assert of_event(Event("1", "actor.restarted", "", b"{}", None, {})) is None
