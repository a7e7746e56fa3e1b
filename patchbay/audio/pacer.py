"""Paces talk to Telnyx: decides when each frame leaves, as whole 20 ms frames in real time with a small lead.

Telnyx plays all frames in order, so talk that is sent faster than real time stays as delay. Pure: the time comes as an
argument. Knows nothing of talkers or of messages. G.711 only.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from typing import TYPE_CHECKING, Final

from patchbay.audio.g711 import SILENCE_ALAW, SILENCE_ULAW, is_silent
from patchbay.audio.marks import Mark
from patchbay.protocol.talk import BYTES_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

FRAME_S: Final = 0.020
# A live talker who is late differs from a program that sends ahead: while talk waits, more of it comes at the pace of
# speech. That is measured over MEASURE_S and MEASURE_PIECES; talk within SETTLE_S of the queue's growing was held back,
# and does not count.
MEASURE_S: Final = 2.0
MEASURE_PIECES: Final = 10
SETTLE_S: Final = 0.2
LIVE_PACE: Final = (0.9, 1.1)
_IS_SILENT: Final = {
    SILENCE_ULAW: functools.partial(is_silent, codec="PCMU"),
    SILENCE_ALAW: functools.partial(is_silent, codec="PCMA"),
}

Item = bytes | Mark  # a frame, or a mark in its place between frames


def duration_ms(items: Iterable[Item]) -> int:
    """Return the length of the frames among these items."""
    return sum(len(item) for item in items if isinstance(item, bytes)) * 1000 // BYTES_PER_S


class TalkPacer:
    """Queues the talk into one call.

    A frame leaves while the audio that Telnyx has not played yet, this frame included, is at most `lead_s` long: a
    talker in real time never waits. Faster talk is queued, at most `backlog_s` of it; talk beyond that is dropped. A
    pause in talk restarts the clock.

    Pieces are joined to whole frames. The last frame is padded with silence when the talk has ended: at `finish`, or
    when nothing more has come for `tail_s`.

    Talk that waits keeps its pauses, unless its talker is live: while more than `drain_s` stays queued though talk
    comes no faster than it is spoken, silent frames are left out until the queue is empty.

    Args:
        silence: the byte that is silence in the call's codec, from `g711.SILENCE`.

    Attributes:
        dropped_bytes: talk beyond the backlog.
        skipped: silent frames that were left out.
        sent: frames that have left.
    """

    __slots__ = ("_ahead_s", "_backlog_frames", "_came_bytes", "_drain_frames", "_draining", "_is_silent", "_measured_from", "_piece_bytes", "_played_at", "_queue", "_silence", "_tail", "_tail_at", "_tail_marks", "_tail_s", "_waiting_frames", "dropped_bytes", "frame_bytes", "sent", "skipped")  # fmt: skip

    def __init__(
        self,
        *,
        silence: bytes,
        lead_s: float,
        backlog_s: float,
        drain_s: float,
        tail_s: float,
        frame_bytes: int = 160,
    ) -> None:
        self.frame_bytes = frame_bytes
        self.dropped_bytes = 0
        self.skipped = 0
        self.sent = 0
        self._silence = silence
        self._is_silent = _IS_SILENT[silence]
        self._ahead_s = max(lead_s - FRAME_S, 0.0)
        self._backlog_frames = max(round(backlog_s / FRAME_S), 1)
        self._drain_frames = max(round(drain_s / FRAME_S), 1)
        self._tail_s = tail_s
        self._queue: deque[Item] = deque()
        self._waiting_frames = 0  # frames in the queue
        self._tail = bytearray()
        self._tail_at = math.inf  # when the tail is padded, if nothing comes before
        self._tail_marks: list[Mark] = []  # marks behind the tail
        self._draining = False
        self._measured_from = math.inf  # since when the pace of talk is measured
        self._came_bytes = 0
        self._piece_bytes = 0  # the longest piece since then
        self._played_at = -math.inf  # when Telnyx will have played all frames that have left

    @property
    def is_waiting(self) -> bool:
        """Whether whole frames wait for their time."""
        return bool(self._queue)

    @property
    def next_due(self) -> float | None:
        """When `take_due` has something to do; None when nothing waits."""
        if self._queue:
            return min(self._played_at - self._ahead_s, self._tail_at)
        return self._tail_at if self._tail else None

    def push(self, payload: bytes, now: float) -> list[Item]:
        """Take talk, any number of bytes. Returns the items to send now."""
        if self.pass_through(payload, now):
            return [payload]
        self._tail += payload
        left: list[Item] = []
        whole = len(self._tail) // self.frame_bytes * self.frame_bytes
        for start in range(0, whole, self.frame_bytes):
            if self._waiting_frames >= self._backlog_frames:
                left += self._take_ready(now)
            if self._waiting_frames >= self._backlog_frames:
                self._drop_from(start)
                break
            self._enqueue(bytes(self._tail[start : start + self.frame_bytes]))
        else:
            del self._tail[:whole]
        self._tail_at = now + self._tail_s if self._tail else math.inf
        self._measure_pace(len(payload), now)
        return left + self._take_ready(now)

    def pass_through(self, payload: bytes, now: float) -> bool:
        """Count a whole frame whose time has come, while nothing waits: it is to be sent as it is. Returns False for
        every other piece, which is for `push`; nothing was done then."""
        played_at = self._played_at
        if len(payload) != self.frame_bytes or played_at - self._ahead_s > now or self._queue or self._tail:
            return False
        self._played_at = max(played_at, now) + FRAME_S
        self.sent += 1
        return True

    def mark(self, mark: Mark, now: float) -> list[Item]:
        """Put a mark behind all talk so far. Returns the items to send now."""
        if self._tail:
            self._tail_marks.append(mark)
            return []
        self._queue.append(mark)
        return self._take_ready(now)

    def take_due(self, now: float) -> list[Item]:
        """Return the items to send now."""
        if self._tail_at <= now:
            self._pad_tail()
        return self._take_ready(now)

    def finish(self, now: float) -> list[Item]:
        """Pad the last piece to a frame, since the talker has finished. Returns the items to send now; `take_due` has
        the others."""
        self._pad_tail()
        return self._take_ready(now)

    def take_all(self) -> list[Item]:
        """Return all items, for another pacer to go on with. The last piece of talk is not padded."""
        items = [*self._queue, *([bytes(self._tail)] if self._tail else ()), *self._tail_marks]
        self.clear()
        return items

    def clear(self) -> list[Mark]:
        """Forget all talk that waits, and all that Telnyx has not played, since it is cleared there. Returns the marks
        that waited."""
        marks = [item for item in self._queue if isinstance(item, Mark)] + self._tail_marks
        self._queue.clear()
        self._waiting_frames = 0
        self._tail.clear()
        self._tail_at = self._measured_from = math.inf
        self._tail_marks = []
        self._draining = False
        self._played_at = -math.inf
        return marks

    def _pad_tail(self) -> None:
        if self._tail:
            self._enqueue(bytes(self._tail.ljust(self.frame_bytes, self._silence)))
            self._tail.clear()
        self._tail_at = math.inf

    def _drop_from(self, start: int) -> None:
        """Drop the newest talk, from this offset in the tail: the first talk is kept."""
        self.dropped_bytes += len(self._tail) - start
        self._tail.clear()
        self._place_tail_marks()

    def _enqueue(self, frame: bytes) -> None:
        if self._draining and self._is_silent(frame):
            self.skipped += 1
        else:
            self._queue.append(frame)
            self._waiting_frames += 1
        self._place_tail_marks()

    def _place_tail_marks(self) -> None:
        if self._tail_marks:
            self._queue.extend(self._tail_marks)
            self._tail_marks = []

    def _measure_pace(self, came_bytes: int, now: float) -> None:
        """Detect a live talker who is late: drain the queue then."""
        per_s = self.frame_bytes / FRAME_S
        if self._waiting_frames <= self._drain_frames:
            self._measured_from = math.inf
        elif self._measured_from == math.inf:
            self._measured_from, self._came_bytes, self._piece_bytes = now + SETTLE_S, 0, 0
        elif now >= self._measured_from:
            self._came_bytes += came_bytes
            self._piece_bytes = max(self._piece_bytes, came_bytes)
            took_s = now - self._measured_from
            if took_s >= max(MEASURE_S, MEASURE_PIECES * self._piece_bytes / per_s):
                slowest, fastest = LIVE_PACE
                self._draining = slowest <= self._came_bytes / per_s / took_s <= fastest
                self._measured_from, self._came_bytes, self._piece_bytes = now, 0, 0

    def _take_ready(self, now: float) -> list[Item]:
        """Take out the items that may leave by now."""
        left: list[Item] = []
        while self._queue:
            item = self._queue[0]
            if isinstance(item, bytes):
                skipped = self._draining and self._is_silent(item)
                if not skipped and self._played_at - self._ahead_s > now:
                    break
                self._waiting_frames -= 1
                if skipped:
                    self._queue.popleft()
                    self.skipped += 1
                    continue
                self._played_at = max(self._played_at, now) + FRAME_S
                self.sent += 1
            left.append(self._queue.popleft())
        self._draining = self._draining and bool(self._queue)
        if self._waiting_frames <= self._drain_frames:
            self._measured_from = math.inf
        return left
