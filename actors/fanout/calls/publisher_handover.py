"""Decides which ingest process's frames of a stream are delivered, while the stream moves between processes. Pure.

Each process publishes on a connection of its own, so its frames may overtake the frames of another process. When a
stream was handed over in order, the new process's frames are therefore held until the old process has said that it has
no more (`LEFT`), or until `PATIENCE_S` has passed: the old process may have died meanwhile.

    FOLLOWING --ANNOUNCED---------> FOLLOWING   the new process is followed at once: the old one died
    FOLLOWING --HANDED_OVER-------> WAITING     the new process's frames are held
    FOLLOWING --LEFT--------------> FINISHED
    FINISHED  --ANNOUNCED---------> FOLLOWING
    FINISHED  --HANDED_OVER-------> FOLLOWING   nothing more comes from the old process
    FINISHED  --LEFT--------------> FINISHED
    WAITING   --LEFT--------------> FOLLOWING   held frames are released
    WAITING   --TIMEOUT-----------> FOLLOWING   held frames are released
    WAITING   --ANNOUNCED---------> FOLLOWING   held frames are released, then a third process is followed
    WAITING   --HANDED_OVER-------> WAITING     held frames are released, then frames of a third process are held
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PATIENCE_S: Final = 0.5
BatchFrame = tuple[
    bytes, int, int
]  # a batch, the offset of a frame in it, and the frame's location in the replay buffer


class State(Enum):
    """Names what is known of the process that is followed."""

    FOLLOWING = "following"  # it publishes
    FINISHED = "finished"  # it has said that it has no more
    WAITING = "waiting"  # its successor is known, and it has not said that it has no more


class Event(Enum):
    """Names what processes say of the stream, and the clock."""

    ANNOUNCED = "announced"  # another process has the stream
    HANDED_OVER = "handed over"  # likewise, and its predecessor has handed the stream over in order
    LEFT = "left"  # the process that is followed has no more
    TIMEOUT = "timeout"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.FOLLOWING, Event.ANNOUNCED): State.FOLLOWING,
    (State.FOLLOWING, Event.HANDED_OVER): State.WAITING,
    (State.FOLLOWING, Event.LEFT): State.FINISHED,
    (State.FINISHED, Event.ANNOUNCED): State.FOLLOWING,
    (State.FINISHED, Event.HANDED_OVER): State.FOLLOWING,
    (State.FINISHED, Event.LEFT): State.FINISHED,
    (State.WAITING, Event.ANNOUNCED): State.FOLLOWING,
    (State.WAITING, Event.HANDED_OVER): State.WAITING,
    (State.WAITING, Event.LEFT): State.FOLLOWING,
    (State.WAITING, Event.TIMEOUT): State.FOLLOWING,
}


class PublisherHandover:
    """Follows the publishers of one stream. A publisher is an ingest process, known by its epoch.

    Attributes:
        epoch: of the process whose frames are delivered.
        state: see the diagram above.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.state = State.FOLLOWING
        self._next = 0  # in WAITING: the epoch of the successor
        self._held: list[BatchFrame] = []  # in WAITING: its frames
        self._until = 0.0

    @property
    def is_waiting(self) -> bool:
        """Return whether frames of a successor are held."""
        return self.state is State.WAITING

    def on_announced(self, epoch: int, now: float, *, in_order: bool) -> list[BatchFrame]:
        """Note that a process has the stream. Returns the held frames that are to be delivered now.

        Args:
            in_order: its predecessor has handed the stream over.
        """
        if epoch == self.epoch or (self.is_waiting and epoch == self._next):
            return []
        released = self._advance(Event.HANDED_OVER if in_order else Event.ANNOUNCED)
        if self.is_waiting:
            self._next, self._until = epoch, now + PATIENCE_S
        else:
            self.epoch = epoch
        return released

    def on_left(self, epoch: int) -> list[BatchFrame]:
        """Note that a process has no more frames. Returns the held frames of its successor."""
        return self._advance(Event.LEFT) if epoch == self.epoch else []

    def on_time(self, now: float) -> list[BatchFrame]:
        """Stop waiting when `PATIENCE_S` is over. Returns the held frames then."""
        return self._advance(Event.TIMEOUT) if self.is_waiting and now >= self._until else []

    def hold(self, epoch: int, frame: BatchFrame) -> bool:
        """Keep a frame of a successor whose turn has not come. False: the frame is none of those."""
        if self.is_waiting and epoch == self._next:
            self._held.append(frame)
            return True
        return False

    def _advance(self, event: Event) -> list[BatchFrame]:
        """Take a transition; from WAITING, the successor is followed and its held frames are returned."""
        before, self.state = self.state, TRANSITIONS[self.state, event]
        if before is not State.WAITING:
            return []
        released, self._held = self._held, []
        self.epoch = self._next
        return released
