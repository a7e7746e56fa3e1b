"""Puts the frames of one track in the order of their `chunk` numbers, and drops frames that come twice or too late.

Telnyx promises no order. Pure: no clock, no I/O; knows nothing of what is in a frame.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

# A jump of more than this (20 s of audio), either way, is a new numbering: no frame is on its way for so long, and no
# stream survives a loss so long.
RESTART_CHUNKS: Final = 1000
# After a shorter jump back all frames come too late, and yet in order: they are kept, and so many of them (0.2 s) are a
# new numbering.
RESTART_RUN: Final = 10
STEP_MAX: Final = 4  # chunk numbers from one frame of a track to the next, when tracks share a numbering
STEP_EVIDENCE: Final = 3  # equal steps in a row that prove the step, where no two neighbours have come
_MISSED_KEPT: Final = 64  # missing chunks that are remembered: one of them that comes is late, any other comes twice
_NONE_YET: Final = -1
NO_CHUNK: Final = -2  # in place of an expected chunk: every frame must be pushed


class Reorder(Generic[Item]):
    """Holds frames while an earlier one is missing: at most `window_frames`, none longer than `window_s`.

    The step between chunk numbers is learnt: 1 as a rule, 2 when both tracks share one numbering and take turns. Until
    it is learnt (3 frames), or when it changes within a call (a full window), frames may be held for the window, once.

    A call whose first frame is within a window of chunk 1 waits for its first frames; any other begins with the frame
    that comes first. The caller gives the time (seconds, never going back), and calls `expire` at `deadline`.

    Attributes:
        deadline: when `expire` has something to do; None while no frame is held.
        step: from one chunk number to the next; 1 as long as nothing else is known.
        gaps: missing frames that were given up.
        late: frames that came after they were given up, and were dropped.
        duplicates: frames that came twice, and were dropped.
        reordered: frames that came out of order, and were put right.
        restarts: new numberings.
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
        self._next = _NONE_YET  # the chunk that is to leave next; the chunk a step before has left
        self.step = 1
        self._anchor = 0  # the first chunk of the present run without a gap
        self._undelivered = True
        self._held: dict[int, tuple[float, Item]] = {}
        self._missed: deque[int] = deque(maxlen=_MISSED_KEPT)
        self._neighbours = 0  # chunks in a row that differed by 1, while the step was more
        self._behind: list[tuple[int, Item]] = []  # a run of frames that came too late, in order
        self._behind_next = _NONE_YET  # `_next` when they came

    @property
    def expected_chunk(self) -> int:
        """The chunk that need not be pushed, nor need each that follows it by `step`; NO_CHUNK: push every frame."""
        return NO_CHUNK if self._held or self._undelivered else self._next

    def skip_to(self, chunk: int) -> None:
        """Expect this chunk next: all before it have come in order, and were not pushed."""
        self._next = chunk

    def resume(self, expected_chunk: int, step: int) -> None:
        """Begin where another window has ended, from its expected chunk and its step."""
        self._next = self._anchor = expected_chunk
        self.step = step
        self._undelivered = False

    def push(self, chunk: int, item: Item, now: float) -> list[Item]:
        """Take a frame. Returns the frames that leave the window now, in order."""
        if chunk == self._next and not self._held:
            self._next = chunk + self.step
            self._undelivered = False
            return [item]
        return self._push_out_of_turn(chunk, item, now)

    def expire(self, now: float) -> list[Item]:
        """Return the frames that have waited for `window_s`, and all before them."""
        ready: list[Item] = []
        if self.deadline is None or now < self.deadline:
            return ready
        overdue = max(chunk for chunk, (came, _) in self._held.items() if came + self.window_s <= now)
        while self._held and min(self._held) <= overdue:
            self._give_up(ready)
        self._set_deadline()
        return ready

    def statistics(self) -> dict[str, int]:
        """Return all counters, and the number of frames that are held."""
        return {
            "gaps": self.gaps,
            "late": self.late,
            "duplicates": self.duplicates,
            "reordered": self.reordered,
            "restarts": self.restarts,
            "held": len(self._held),
        }

    def _push_out_of_turn(self, chunk: int, item: Item, now: float) -> list[Item]:
        if self._next == _NONE_YET:
            if not 1 < chunk <= 1 + self.window_frames:
                return self._begin(chunk, item)
            self._next = 1
        ready: list[Item] = []
        if chunk in self._held:
            self.duplicates += 1
        elif chunk == self._next or self._next - self.step < chunk < self._next:
            self._take_turn(chunk, item, ready)
        elif chunk < self._next:
            self._push_behind(chunk, item, ready)
        else:
            self._ahead(chunk, item, now, ready)
        self._set_deadline()
        return ready + self.expire(now)  # last: a frame that came is not late until it has been given up

    def _begin(self, chunk: int, item: Item) -> list[Item]:
        """Begin the numbering with this frame."""
        self._next = chunk + self.step
        self._anchor = chunk
        self._undelivered = False
        self._missed.clear()
        return [item]

    def _restart(self, run: list[tuple[int, Item]], ready: list[Item]) -> None:
        """Begin a new numbering with these frames. Frames that are held leave before them."""
        self.restarts += 1
        ready.extend(self._held[held][1] for held in sorted(self._held))
        self._held.clear()
        for chunk, item in run:
            ready.extend(self._begin(chunk, item))

    def _take_turn(self, chunk: int, item: Item, ready: list[Item]) -> None:
        """Take the missing frame; or one between two steps: the tracks have changed turns."""
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
        """Take a frame before the next one: it is late, or comes twice, or the numbering has begun anew."""
        if self._undelivered:  # no frame has left yet: the numbering begins with 0
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
            self._behind.clear()  # it was missing, and does not begin a new numbering
        else:
            self.duplicates += 1

    def _ahead(self, chunk: int, item: Item, now: float, ready: list[Item]) -> None:
        distance = chunk - self._next
        if distance > RESTART_CHUNKS:
            self._restart([(chunk, item)], ready)
            return
        if distance % self.step and not self._held:  # had a frame been lost, the step would be the same
            self._off_step(chunk, self.step + distance)
            ready.append(item)
            self._next = chunk + self.step
            return
        self._held[chunk] = (now, item)
        unsure = self._next - self._anchor <= self.step
        if len(self._held) > self.window_frames or (unsure and self._even_step()):
            self._give_up(ready)

    def _even_step(self) -> int:
        """Return the step by which no frame was lost among those that are held; 0 when there is none."""
        if len(self._held) < min(STEP_EVIDENCE, self.window_frames + 1):
            return 0
        chunks = [self._next - self.step, *sorted(self._held)]
        step = chunks[1] - chunks[0]
        even = all(b - a == step for a, b in itertools.pairwise(chunks))
        return step if even and step <= STEP_MAX else 0

    def _give_up(self, ready: list[Item]) -> None:
        """Wait no longer for the frames that are missing before the first one that is held."""
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
        oldest = min((came for came, _ in self._held.values()), default=None)
        self.deadline = None if oldest is None else oldest + self.window_s
