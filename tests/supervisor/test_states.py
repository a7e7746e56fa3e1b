"""The table of states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.actors.states import ALIVE, TRANSITIONS, Event, IllegalTransitionError, State, advance


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)


def test_every_state_can_be_come_to_and_be_left() -> None:
    reached = {after for row in TRANSITIONS.values() for after in row.values()}
    assert reached == set(State) - {State.INIT}
    assert all(TRANSITIONS.values())


@pytest.mark.parametrize(
    ("events", "last"),
    [
        ([Event.START, Event.READY, Event.DRAIN, Event.GONE], State.STOPPED),
        ([Event.START, Event.STOP, Event.GONE], State.STOPPED),
        ([Event.START, Event.READY, Event.DRAIN, Event.ABORT, Event.GONE], State.STOPPED),
        ([Event.START, Event.READY, Event.RETRY, Event.START, Event.READY], State.READY),
        ([Event.START, Event.READY, Event.ABORT, Event.RETRY], State.BACKOFF),
        ([Event.START, Event.GIVE_UP, Event.START], State.STARTING),
        ([Event.START, Event.GIVE_UP, Event.STOP], State.STOPPED),
        ([Event.STOP, Event.START], State.STARTING),
    ],
)
def test_lives(events: list[Event], last: State) -> None:
    state = State.INIT
    for event in events:
        state = advance(state, event)
    assert state is last


def test_an_event_that_is_not_listed_is_an_error() -> None:
    with pytest.raises(IllegalTransitionError, match="READY in state INIT"):
        advance(State.INIT, Event.READY)


@given(st.sampled_from(State), st.sampled_from(Event))
def test_an_event_is_either_listed_or_an_error(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert advance(state, event) in State
    else:
        with pytest.raises(IllegalTransitionError):
            advance(state, event)


def test_only_what_runs_can_end() -> None:
    for state, row in TRANSITIONS.items():
        assert (Event.GONE in row or Event.RETRY in row) == (state in ALIVE)
