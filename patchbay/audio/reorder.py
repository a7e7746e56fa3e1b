"""Puts the frames of one track in the order of their `chunk` numbers, and drops duplicates and late frames.

Telnyx promises no order. Pure: the time is an argument.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

# A jump of more chunks than this (20 s of audio), forward or back, is a new numbering: no frame is on its way for so
# long, and no stream survives such a loss.
RESTART_CHUNKS: Final = 1000
# So is a shorter jump back, when so many frames (0.2 s) in a row are too late and in order.
RESTART_RUN: Final = 10
STEP_MAX: Final = 4  # largest difference of chunk numbers between frames of a track, when tracks share a numbering
STEP_EVIDENCE: Final = 3  # equal differences in a row that establish a step, as long as no two neighbours were seen
_MISSED_KEPT: Final = 64  # missing chunks that are remembered, to tell late frames from duplicates
_NONE_YET: Final = -1
NO_CHUNK: Final = -2  # value of `next_chunk`: every frame must be pushed


class Reorder(Generic[Item]):
    """Holds at most `window_frames` frames, each for at most `window_s`, while an earlier frame is missing.

    One object for each stream and track. The caller passes the time in seconds, which never goes back, and calls
    `expire` at `deadline`. A stream whose first frame is within a window of chunk 1 waits for the frames before it; any
    other stream starts with its first frame.

    The step between chunk numbers is learnt: usually 1; 2 when both tracks share one numbering. Until the step is
    learnt (3 frames), and when it changes (a full window), frames may be held for the window once.

    Attributes:
        deadline: when `expire` must be called; None: no frame is held.
        step: the difference between the chunk numbers of successive frames; 1 until another step is learnt.
        gaps: how many frames were given up.
        late: how many of these arrived after all, and were dropped.
        duplicates: how many frames were dropped since they had been delivered.
        reordered: how many frames arrived out of order and were delivered in order.
        restarts: how often the numbering began again.
    """

    __slots__ = (
        "_anchor",
        "_behind",
        "_behind_next",
        "_held",
        "_missed",
        "_neighbours",
        "_next",
        "_undelivered",
        "deadline",
        "duplicates",
        "gaps",
        "late",
        "reordered",
        "restarts",
        "step",
        "window_frames",
        "window_s",
    )

    def __init__(self, window_frames: int = 4, window_s: float = 0.080) -> None:
        self.window_frames = window_frames
        self.window_s = window_s
        self.deadline: float | None = None
        self.gaps = 0
        self.late = 0
        self.duplicates = 0
        self.reordered = 0
        self.restarts = 0
        self._next = _NONE_YET  # the chunk to be delivered next
        self.step = 1
        self._anchor = 0  # the chunk with which the current run of equal steps began
        self._undelivered = True
        self._held: dict[int, tuple[float, Item]] = {}
        self._missed: deque[int] = deque(maxlen=_MISSED_KEPT)
        self._neighbours = 0  # chunks in a row that differed by 1, though the step is more
        self._behind: list[tuple[int, Item]] = []  # a run of frames that were too late, and in order
        self._behind_next = _NONE_YET  # `_next` when that run was received

    @property
    def next_chunk(self) -> int:
        """Return the chunk that needs no reordering, or NO_CHUNK.

        A caller may deliver this chunk, and those that follow by `step`, without `push`; then it calls `skip_to`.
        """
        return NO_CHUNK if self._held or self._undelivered else self._next

    def skip_to(self, chunk: int) -> None:
        """Note that all frames before a chunk were delivered without `push`."""
        self._next = chunk

    def resume(self, next_chunk: int, step: int) -> None:
        """Continue with the `next_chunk` and `step` of another window."""
        self._next = self._anchor = next_chunk
        self.step = step
        self._undelivered = False

    def push(self, chunk: int, item: Item, now: float) -> list[Item]:
        """Add a frame, and return the frames to be delivered now, in order."""
        if chunk == self._next and not self._held:
            self._next = chunk + self.step
            self._undelivered = False
            return [item]
        return self._push_out_of_order(chunk, item, now)

    def expire(self, now: float) -> list[Item]:
        """Return the frames that were held for `window_s`, and all held frames before them."""
        ready: list[Item] = []
        if self.deadline is None or now < self.deadline:
            return ready
        overdue = max(chunk for chunk, (received_at, _) in self._held.items() if received_at + self.window_s <= now)
        while self._held and min(self._held) <= overdue:
            self._give_up(ready)
        self._set_deadline()
        return ready

    def statistics(self) -> dict[str, int]:
        """Return counters for statistics."""
        return {
            "gaps": self.gaps,
            "late": self.late,
            "duplicates": self.duplicates,
            "reordered": self.reordered,
            "restarts": self.restarts,
            "held": len(self._held),
        }

    def _push_out_of_order(self, chunk: int, item: Item, now: float) -> list[Item]:
        if self._next == _NONE_YET:
            if not 1 < chunk <= 1 + self.window_frames:
                return self._begin(chunk, item)
            self._next = 1
        ready: list[Item] = []
        if chunk in self._held:
            self.duplicates += 1
        elif chunk == self._next or self._next - self.step < chunk < self._next:
            self._deliver(chunk, item, ready)
        elif chunk < self._next:
            self._push_behind(chunk, item, ready)
        else:
            self._push_ahead(chunk, item, now, ready)
        self._set_deadline()
        return ready + self.expire(now)  # last: a frame that is here is not given up

    def _begin(self, chunk: int, item: Item) -> list[Item]:
        """Deliver a frame with which the numbering begins."""
        self._next = chunk + self.step
        self._anchor = chunk
        self._undelivered = False
        self._missed.clear()
        return [item]

    def _restart(self, run: list[tuple[int, Item]], ready: list[Item]) -> None:
        """Deliver all held frames, then a run of frames with which the numbering begins again."""
        self.restarts += 1
        ready.extend(self._held[held][1] for held in sorted(self._held))
        self._held.clear()
        for chunk, item in run:
            ready.extend(self._begin(chunk, item))

    def _deliver(self, chunk: int, item: Item, ready: list[Item]) -> None:
        """Deliver the expected frame, or one between two steps, and the held frames that follow."""
        if chunk == self._next:
            self._neighbours = 0
        else:
            self._off_step(chunk, chunk - (self._next - self.step))
        self.reordered += bool(self._held)
        self._undelivered = False
        ready.append(item)
        self._next = chunk + self.step
        self._release(ready)

    def _off_step(self, chunk: int, distance: int) -> None:
        self._neighbours = self._neighbours + 1 if distance == 1 else 0
        self._anchor = chunk
        if self._neighbours > 1:
            self.step = 1

    def _push_behind(self, chunk: int, item: Item, ready: list[Item]) -> None:
        """Handle a frame before the expected one: it is late, a duplicate, or the numbering has begun again."""
        if self._undelivered:  # no frame was delivered yet: the numbering is from 0
            self._undelivered = False
            ready.append(item)
            return
        if self._behind_next != self._next or (self._behind and chunk <= self._behind[-1][0]):
            self._behind.clear()
        self._behind_next = self._next
        self._behind.append((chunk, item))
        if self._next - chunk > RESTART_CHUNKS:
            self._restart([(chunk, item)], ready)
        elif len(self._behind) == RESTART_RUN:
            run, self._behind = self._behind, []
            self.duplicates -= RESTART_RUN - 1
            self._restart(run, ready)
        elif chunk in self._missed and len(self._behind) == 1:
            self._missed.remove(chunk)
            self.late += 1
            self._behind.clear()  # a late frame does not begin a new numbering
        else:
            self.duplicates += 1

    def _push_ahead(self, chunk: int, item: Item, now: float, ready: list[Item]) -> None:
        distance = chunk - self._next
        if distance > RESTART_CHUNKS:
            self._restart([(chunk, item)], ready)
            return
        if distance % self.step and not self._held:  # not a loss, which would leave a multiple of the step
            self._off_step(chunk, self.step + distance)
            ready.append(item)
            self._next = chunk + self.step
            return
        self._held[chunk] = (now, item)
        unsure = self._next - self._anchor <= self.step
        if len(self._held) > self.window_frames or (unsure and self._even_step()):
            self._give_up(ready)

    def _even_step(self) -> int:
        """Return the step with which the held frames have no gap; 0: there is none."""
        if len(self._held) < min(STEP_EVIDENCE, self.window_frames + 1):
            return 0
        chunks = [self._next - self.step, *sorted(self._held)]
        step = chunks[1] - chunks[0]
        even = all(b - a == step for a, b in itertools.pairwise(chunks))
        return step if even and step <= STEP_MAX else 0

    def _give_up(self, ready: list[Item]) -> None:
        """Give up the frames that are missing before the first held frame."""
        first = min(self._held)
        step = self._even_step()
        if step:
            self.step = step
        else:
            missed = range(self._next, first, self.step)
            self._missed.extend(missed)
            self.gaps += 0 if self._undelivered else len(missed)
        self._anchor = self._next = first
        self._undelivered = False
        self._release(ready)

    def _release(self, ready: list[Item]) -> None:
        while self._held and (first := min(self._held)) <= self._next:
            ready.append(self._held.pop(first)[1])
            self._next = first + self.step

    def _set_deadline(self) -> None:
        oldest = min((received_at for received_at, _ in self._held.values()), default=None)
        self.deadline = None if oldest is None else oldest + self.window_s
