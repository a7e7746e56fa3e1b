"""Which ingest process speaks for a stream, when it moves from one to the next. Pure.

Two processes publish on two connections, and what comes by one may overtake what came by the other. So when a stream
was handed over in order, its new process's frames wait until the old one has said that it has no more; not long, since
the old one might die on the way.
"""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 0.5
Placed = tuple[bytes, int, int]  # a batch, where a frame begins in it, and its place among the replay buffer


class PublisherHandover:
    """The publishers (epochs) of one stream.

    Attributes:
        epoch: of the process whose frames are delivered.
        waiting: whether frames of its successor are held.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.waiting = False
        self._has_left = False
        self._next = 0
        self._held: list[Placed] = []
        self._until = 0.0

    def announced(self, epoch: int, now: float, *, in_order: bool) -> list[Placed]:
        """A process says that it has the stream; `in_order`: its predecessor handed it over. Returns frames whose turn
        it is by that."""
        if epoch == self.epoch or (self.waiting and epoch == self._next):
            return []
        held = self._switch() if self.waiting else []
        if in_order and not self._has_left:
            self.waiting, self._next, self._until = True, epoch, now + PATIENCE_S
        else:
            self.epoch, self._has_left = epoch, False
        return held

    def left(self, epoch: int) -> list[Placed]:
        """A process says that it has no more. Returns the frames of its successor that were held."""
        if epoch == self.epoch:
            self._has_left = True
            return self._switch() if self.waiting else []
        return []

    def hold(self, epoch: int, frame: Placed) -> bool:
        """Whether this frame must wait; it is kept then."""
        if self.waiting and epoch == self._next:
            self._held.append(frame)
            return True
        return False

    def overdue(self, now: float) -> list[Placed]:
        """The frames that were held, when the old process has not said a word for too long."""
        return self._switch() if self.waiting and now >= self._until else []

    def _switch(self) -> list[Placed]:
        held, self._held = self._held, []
        self.epoch, self.waiting, self._has_left = self._next, False, False
        return held
