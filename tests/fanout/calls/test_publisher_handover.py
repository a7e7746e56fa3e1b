"""A stream that moves from one process to the next: whose frames are delivered, and in which order."""

from __future__ import annotations

import pytest

from actors.fanout.calls.publisher_handover import (
    PATIENCE_S,
    TRANSITIONS,
    BatchFrame,
    Event,
    PublisherHandover,
    State,
)

OLD, NEW, NEWER = 1, 2, 3


def frame(chunk: int) -> BatchFrame:
    return b"", 0, chunk


def test_frames_of_the_next_wait_until_the_last_has_left() -> None:
    """However early they come."""
    moving = PublisherHandover(OLD)
    assert moving.on_announced(NEW, 0.0, in_order=True) == []
    assert moving.hold(NEW, frame(2))
    assert not moving.hold(OLD, frame(1))
    assert moving.on_left(OLD) == [frame(2)]
    assert (moving.epoch, moving.is_waiting) == (NEW, False)
    assert not moving.hold(NEW, frame(3))


def test_one_that_has_left_before_is_not_waited_for() -> None:
    """The two words may come in either order."""
    moving = PublisherHandover(OLD)
    assert moving.on_left(OLD) == []
    assert moving.on_announced(NEW, 0.0, in_order=True) == []
    assert (moving.epoch, moving.is_waiting) == (NEW, False)


def test_after_a_crash_nobody_is_waited_for() -> None:
    """A process that died says nothing."""
    moving = PublisherHandover(OLD)
    moving.on_announced(NEW, 0.0, in_order=False)
    assert (moving.epoch, moving.is_waiting) == (NEW, False)


def test_patience_ends() -> None:
    """The old process may die on the way."""
    moving = PublisherHandover(OLD)
    moving.on_announced(NEW, 10.0, in_order=True)
    moving.hold(NEW, frame(1))
    assert moving.on_time(10.0 + PATIENCE_S - 0.01) == []
    assert moving.on_time(10.0 + PATIENCE_S) == [frame(1)]
    assert moving.epoch == NEW
    assert moving.on_time(99.0) == []


def test_repeated_announcements_change_nothing() -> None:
    """Streams are announced again to everybody whenever a fan-out comes."""
    moving = PublisherHandover(OLD)
    assert moving.on_announced(OLD, 0.0, in_order=False) == []
    moving.on_announced(NEW, 0.0, in_order=True)
    moving.hold(NEW, frame(1))
    assert moving.on_announced(NEW, 0.1, in_order=True) == []
    assert moving.on_left(OLD) == [frame(1)]


def test_a_third_process_comes_before_the_first_has_left() -> None:
    """What the second had sent is delivered, and the third waits for the second's word."""
    moving = PublisherHandover(OLD)
    moving.on_announced(NEW, 0.0, in_order=True)
    moving.hold(NEW, frame(1))
    assert moving.on_announced(NEWER, 0.1, in_order=True) == [frame(1)]
    assert (moving.epoch, moving.is_waiting) == (NEW, True)
    assert moving.on_left(NEW) == []
    assert moving.epoch == NEWER


HELD = frame(1)  # of NEW, in WAITING


@pytest.mark.parametrize(
    ("state", "event", "then", "epoch", "released"),
    [
        (State.FOLLOWING, Event.ANNOUNCED, State.FOLLOWING, NEWER, []),
        (State.FOLLOWING, Event.HANDED_OVER, State.WAITING, OLD, []),
        (State.FOLLOWING, Event.LEFT, State.FINISHED, OLD, []),
        (State.FINISHED, Event.ANNOUNCED, State.FOLLOWING, NEWER, []),
        (State.FINISHED, Event.HANDED_OVER, State.FOLLOWING, NEWER, []),
        (State.FINISHED, Event.LEFT, State.FINISHED, OLD, []),
        (State.WAITING, Event.ANNOUNCED, State.FOLLOWING, NEWER, [HELD]),
        (State.WAITING, Event.HANDED_OVER, State.WAITING, NEW, [HELD]),
        (State.WAITING, Event.LEFT, State.FOLLOWING, NEW, [HELD]),
        (State.WAITING, Event.TIMEOUT, State.FOLLOWING, NEW, [HELD]),
    ],
)
def test_each_transition(state: State, event: Event, then: State, epoch: int, released: list[BatchFrame]) -> None:
    """The next state, the process that is followed, and the frames that are delivered."""
    moving = PublisherHandover(OLD)
    if state is State.FINISHED:
        moving.on_left(OLD)
    elif state is State.WAITING:
        moving.on_announced(NEW, 0.0, in_order=True)
        assert moving.hold(NEW, HELD)
    assert moving.state is state
    if event is Event.LEFT:
        found = moving.on_left(OLD)
    elif event is Event.TIMEOUT:
        found = moving.on_time(PATIENCE_S)
    else:
        found = moving.on_announced(NEWER, 0.1, in_order=event is Event.HANDED_OVER)
    assert (moving.state, moving.epoch, found) == (then, epoch, released)


def test_every_event_has_a_transition() -> None:
    """But for the timeout, which only WAITING has."""
    others = {(state, Event.TIMEOUT) for state in State if state is not State.WAITING}
    assert set(TRANSITIONS) == {(state, event) for state in State for event in Event} - others
