"""The states of a `patchbay.v1` talk: each transition by itself, and that every other event changes nothing."""

from __future__ import annotations

import itertools

import pytest

from actors.fanout.v1.talk_state import TRANSITIONS, Event, Message, State, transition


@pytest.mark.parametrize(
    ("state", "event", "then", "message"),
    [
        (State.IDLE, Event.START, State.REQUESTED, None),
        (State.IDLE, Event.RESUMED, State.TALKING, None),
        (State.REQUESTED, Event.GRANTED, State.TALKING, Message.STARTED),
        (State.REQUESTED, Event.REFUSED, State.IDLE, Message.ERROR),
        (State.REQUESTED, Event.CALL_ENDED, State.IDLE, Message.ERROR),
        (State.REQUESTED, Event.UNREACHABLE, State.IDLE, Message.ERROR),
        (State.REQUESTED, Event.STOP, State.IDLE, None),
        (State.REQUESTED, Event.FLOOR_LOST, State.REQUESTED, None),
        (State.TALKING, Event.GRANTED, State.TALKING, None),
        (State.TALKING, Event.FLOOR_LOST, State.IDLE, Message.ENDED),
        (State.TALKING, Event.REFUSED, State.IDLE, Message.ENDED),
        (State.TALKING, Event.CALL_ENDED, State.IDLE, Message.ENDED),
        (State.TALKING, Event.UNREACHABLE, State.TALKING, None),
        (State.TALKING, Event.STOP, State.IDLE, None),
    ],
)
def test_each_transition(state: State, event: Event, then: State, message: Message | None) -> None:
    """The next state, and the message for the client."""
    assert transition(state, event) == (then, message)


@pytest.mark.parametrize(
    ("state", "event"), [pair for pair in itertools.product(State, Event) if pair not in TRANSITIONS]
)
def test_other_events_change_nothing(state: State, event: Event) -> None:
    """An event may come late, and no event raises."""
    assert transition(state, event) == (state, None)
