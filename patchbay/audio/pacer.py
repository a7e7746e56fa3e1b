"""When each frame of talk leaves for Telnyx: whole 20 ms frames, in real time with a small lead.

Telnyx plays what it gets in order, so all that is sent faster than real time stays as delay. Pure: the time comes as
an argument; knows nothing of who talks, or of the messages the frames travel in. G.711 only.
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
# A live talker who is late is told from a program that sends ahead by how its talk comes while it waits: at the pace of
# speech, over JUDGED_S and JUDGED_PIECES. What comes within SETTLE_S of the queue's growing is what has been held back.
JUDGED_S: Final = 2.0
JUDGED_PIECES: Final = 10
SETTLE_S: Final = 0.2
LIVE_PACE: Final = (0.9, 1.1)
_IS_SILENT: Final = {
    SILENCE_ULAW: functools.partial(is_silent, codec="PCMU"),
    SILENCE_ALAW: functools.partial(is_silent, codec="PCMA"),
}

Item = bytes | Mark  # a frame, or a mark in its place between frames


def duration_ms(items: Iterable[Item]) -> int:
    """Return how long the talk among these is."""
    return sum(len(item) for item in items if isinstance(item, bytes)) * 1000 // BYTES_PER_S


class TalkPacer:
    """The queue of one call's talk.

    A frame leaves while what Telnyx has not played yet, this frame included, is `lead_s` at most: a talker in real time
    never waits. Faster talk is queued, `backlog_s` at most; what comes beyond that is dropped. A pause in talk restarts
    the clock.

    Pieces are joined to whole frames. The last one is padded with silence when the talk has ended: at `finish`, or when
    nothing more has come for `tail_s`.

    Talk that waits keeps its pauses, but for a live talker's: while more than `drain_s` stays queued though talk comes
    no faster than it is spoken, silent frames are left out until the queue is empty.

    Args:
        silence: the byte that is silence in the call's codec, from `g711.SILENCE`.

    Attributes:
        dropped_bytes: talk beyond the backlog.
        skipped: silent frames left out.
        sent: frames.
    """

    __slots__ = ("_ahead_s", "_backlog_frames", "_came_bytes", "_drain_frames", "_draining", "_is_silent", "_judged_from", "_piece_bytes", "_played_at", "_queue", "_silence", "_tail", "_tail_at", "_tail_marks", "_tail_s", "_waiting_frames", "dropped_bytes", "frame_bytes", "sent", "skipped")  # fmt: skip

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
        self._waiting_frames = 0  # in the queue
        self._tail = bytearray()
        self._tail_at = math.inf  # when the tail is padded if nothing comes
        self._tail_marks: list[Mark] = []  # behind the tail
        self._draining = False
        self._judged_from = math.inf  # since when talk is counted, to tell whether it comes at the pace of speech
        self._came_bytes = 0
        self._piece_bytes = 0  # the longest of what came
        self._played_at = -math.inf  # when Telnyx will have played all that was sent

    @property
    def is_waiting(self) -> bool:
        """Whether whole frames wait for their time."""
        return bool(self._queue)

    @property
    def next_due(self) -> float | None:
        """When `due` has something to do; None when nothing waits."""
        if self._queue:
            return min(self._played_at - self._ahead_s, self._tail_at)
        return self._tail_at if self._tail else None

    def push(self, payload: bytes, now: float) -> list[Item]:
        """Take talk, any number of bytes. Returns what is to be sent now."""
        if self.passes(payload, now):
            return [payload]
        self._tail += payload
        left: list[Item] = []
        whole = len(self._tail) // self.frame_bytes * self.frame_bytes
        for start in range(0, whole, self.frame_bytes):
            if self._waiting_frames >= self._backlog_frames:
                left += self._leave(now)
            if self._waiting_frames >= self._backlog_frames:
                self._drop_from(start)
                break
            self._enqueue(bytes(self._tail[start : start + self.frame_bytes]))
        else:
            del self._tail[:whole]
        self._tail_at = now + self._tail_s if self._tail else math.inf
        self._judge(len(payload), now)
        return left + self._leave(now)

    def passes(self, payload: bytes, now: float) -> bool:
        """Whether this is a whole frame whose time has come, and nothing waits: it is to be sent as it is. Else nothing
        was done."""
        played_at = self._played_at
        if len(payload) != self.frame_bytes or played_at - self._ahead_s > now or self._queue or self._tail:
            return False
        self._played_at = max(played_at, now) + FRAME_S
        self.sent += 1
        return True

    def mark(self, mark: Mark, now: float) -> list[Item]:
        """Put a mark behind all talk so far. Returns what is to be sent now."""
        if self._tail:
            self._tail_marks.append(mark)
            return []
        self._queue.append(mark)
        return self._leave(now)

    def due(self, now: float) -> list[Item]:
        """Return what is to be sent now."""
        if self._tail_at <= now:
            self._pad_tail()
        return self._leave(now)

    def finish(self, now: float) -> list[Item]:
        """Pad the last piece to a frame: the talker has finished. What must wait comes from `due`, as before."""
        self._pad_tail()
        return self._leave(now)

    def give_up(self) -> list[Item]:
        """Return everything for another pacer to go on with: the last piece of talk is as short as it is."""
        items = [*self._queue, *([bytes(self._tail)] if self._tail else ()), *self._tail_marks]
        self.clear()
        return items

    def clear(self) -> list[Mark]:
        """Forget what waits and, since Telnyx is told to as well, what it has not played. Returns the marks in it."""
        marks = [item for item in self._queue if isinstance(item, Mark)] + self._tail_marks
        self._queue.clear()
        self._waiting_frames = 0
        self._tail.clear()
        self._tail_at = self._judged_from = math.inf
        self._tail_marks = []
        self._draining = False
        self._played_at = -math.inf
        return marks

    def statistics(self) -> dict[str, int]:
        return {
            "sent": self.sent,
            "queued": self._waiting_frames,
            "dropped_bytes": self.dropped_bytes,
            "skipped": self.skipped,
        }

    def _pad_tail(self) -> None:
        if self._tail:
            self._enqueue(bytes(self._tail.ljust(self.frame_bytes, self._silence)))
            self._tail.clear()
        self._tail_at = math.inf

    def _drop_from(self, start: int) -> None:
        """Drop the newest talk: what was said first is kept."""
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

    def _judge(self, came_bytes: int, now: float) -> None:
        """Decide whether this is a live talker who is late."""
        per_s = self.frame_bytes / FRAME_S
        if self._waiting_frames <= self._drain_frames:
            self._judged_from = math.inf
        elif self._judged_from == math.inf:
            self._judged_from, self._came_bytes, self._piece_bytes = now + SETTLE_S, 0, 0
        elif now >= self._judged_from:
            self._came_bytes += came_bytes
            self._piece_bytes = max(self._piece_bytes, came_bytes)
            took_s = now - self._judged_from
            if took_s >= max(JUDGED_S, JUDGED_PIECES * self._piece_bytes / per_s):
                slowest, fastest = LIVE_PACE
                self._draining = slowest <= self._came_bytes / per_s / took_s <= fastest
                self._judged_from, self._came_bytes, self._piece_bytes = now, 0, 0

    def _leave(self, now: float) -> list[Item]:
        """Take out what may leave by now."""
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
            self._judged_from = math.inf
        return left
