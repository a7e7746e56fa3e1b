"""A stream that moves from one process to the next: whose frames are delivered, and in which order."""

from __future__ import annotations

from actors.fanout.calls.publisher_handover import PATIENCE_S, Placed, PublisherHandover

OLD, NEW, NEWER = 1, 2, 3


def frame(chunk: int) -> Placed:
    return b"", 0, chunk


def test_frames_of_the_next_wait_until_the_last_has_left() -> None:
    """However early they come."""
    moving = PublisherHandover(OLD)
    assert moving.announced(NEW, 0.0, in_order=True) == []
    assert moving.hold(NEW, frame(2))
    assert not moving.hold(OLD, frame(1))
    assert moving.left(OLD) == [frame(2)]
    assert (moving.epoch, moving.waiting) == (NEW, False)
    assert not moving.hold(NEW, frame(3))


def test_one_that_has_left_before_is_not_waited_for() -> None:
    """The two words may come in either order."""
    moving = PublisherHandover(OLD)
    assert moving.left(OLD) == []
    assert moving.announced(NEW, 0.0, in_order=True) == []
    assert (moving.epoch, moving.waiting) == (NEW, False)


def test_after_a_crash_nobody_is_waited_for() -> None:
    """A process that died says nothing."""
    moving = PublisherHandover(OLD)
    moving.announced(NEW, 0.0, in_order=False)
    assert (moving.epoch, moving.waiting) == (NEW, False)


def test_patience_ends() -> None:
    """The old process may die on the way."""
    moving = PublisherHandover(OLD)
    moving.announced(NEW, 10.0, in_order=True)
    moving.hold(NEW, frame(1))
    assert moving.overdue(10.0 + PATIENCE_S - 0.01) == []
    assert moving.overdue(10.0 + PATIENCE_S) == [frame(1)]
    assert moving.epoch == NEW
    assert moving.overdue(99.0) == []


def test_repeated_announcements_change_nothing() -> None:
    """Streams are announced again to everybody whenever a fan-out comes."""
    moving = PublisherHandover(OLD)
    assert moving.announced(OLD, 0.0, in_order=False) == []
    moving.announced(NEW, 0.0, in_order=True)
    moving.hold(NEW, frame(1))
    assert moving.announced(NEW, 0.1, in_order=True) == []
    assert moving.left(OLD) == [frame(1)]


def test_a_third_process_comes_before_the_first_has_left() -> None:
    """What the second had sent is delivered, and the third waits for the second's word."""
    moving = PublisherHandover(OLD)
    moving.announced(NEW, 0.0, in_order=True)
    moving.hold(NEW, frame(1))
    assert moving.announced(NEWER, 0.1, in_order=True) == [frame(1)]
    assert (moving.epoch, moving.waiting) == (NEW, True)
    assert moving.left(NEW) == []
    assert moving.epoch == NEWER
