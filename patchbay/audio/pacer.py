"""Paces talk for Telnyx: decides when each 20 ms frame is sent, in real time with a small lead. G.711 only.

Telnyx queues and plays all frames in order, so frames that are sent faster than real time stay as delay.
Pure: the time is an argument.
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
# A backlog of live talk is told from a program that sends ahead: live talk arrives at the pace of speech, over at least
# PACE_WINDOW_S and PACE_WINDOW_PIECES. Talk that the network held back arrives within SETTLE_S, and is not measured.
PACE_WINDOW_S: Final = 2.0
PACE_WINDOW_PIECES: Final = 10
SETTLE_S: Final = 0.2
LIVE_PACE: Final = (0.9, 1.1)  # seconds of talk that arrive in a second
_IS_SILENT: Final = {
    SILENCE_ULAW: functools.partial(is_silent, codec="PCMU"),
    SILENCE_ALAW: functools.partial(is_silent, codec="PCMA"),
}

Item = bytes | Mark  # a frame, or a mark between frames


def duration_ms(items: Iterable[Item]) -> int:
    """Return the duration of the talk among some items."""
    return sum(len(item) for item in items if isinstance(item, bytes)) * 1000 // BYTES_PER_S


class TalkPacer:
    """Queues the talk of one call.

    A frame is sent while Telnyx has at most `lead_s` to play, that frame included, so talk in real time never waits.
    Faster talk is queued up to `backlog_s`; newer talk than that is dropped. A pause in talk restarts the clock.

    Pieces are joined to whole frames. An incomplete frame (the tail) is padded with silence when the talk has ended: at
    `finish`, or when no talk has arrived for `tail_s`.

    Queued talk keeps its pauses, except a live talker's: when more than `drain_s` stays queued while talk arrives at
    the pace of speech, silent frames are skipped until the queue is empty.

    Args:
        silence: the byte of silence in the call's codec, from `g711.SILENCE`.

    Attributes:
        dropped_bytes: talk that was dropped beyond the backlog.
        skipped: how many silent frames were skipped.
        sent: how many frames were sent.
    """

    __slots__ = ("_ahead_s", "_backlog_frames", "_drain_frames", "_draining", "_is_silent", "_measured_from", "_piece_bytes", "_played_at", "_queue", "_received_bytes", "_silence", "_tail", "_tail_at", "_tail_marks", "_tail_s", "_waiting_frames", "dropped_bytes", "frame_bytes", "sent", "skipped")  # fmt: skip

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
        self._tail_at = math.inf  # when the tail is padded, if no talk arrives before
        self._tail_marks: list[Mark] = []  # behind the tail
        self._draining = False
        self._measured_from = math.inf  # when the measurement of the pace began; inf: none
        self._received_bytes = 0  # during the measurement
        self._piece_bytes = 0  # the longest piece of the measurement
        self._played_at = -math.inf  # when Telnyx will have played all frames that were sent

    @property
    def is_waiting(self) -> bool:
        """Tell whether whole frames are queued."""
        return bool(self._queue)

    @property
    def next_due(self) -> float | None:
        """Return when `take_due` must be called next; None: nothing is queued."""
        if self._queue:
            return min(self._played_at - self._ahead_s, self._tail_at)
        return self._tail_at if self._tail else None

    def push(self, payload: bytes, now: float) -> list[Item]:
        """Add talk, any number of bytes, and return the items to be sent now."""
        if self.pass_through(payload, now):
            return [payload]
        self._tail += payload
        ready: list[Item] = []
        whole = len(self._tail) // self.frame_bytes * self.frame_bytes
        for start in range(0, whole, self.frame_bytes):
            if self._waiting_frames >= self._backlog_frames:
                ready += self._take_ready(now)
            if self._waiting_frames >= self._backlog_frames:
                self._drop_from(start)
                break
            self._enqueue(bytes(self._tail[start : start + self.frame_bytes]))
        else:
            del self._tail[:whole]
        self._tail_at = now + self._tail_s if self._tail else math.inf
        self._measure_pace(len(payload), now)
        return ready + self._take_ready(now)

    def pass_through(self, payload: bytes, now: float) -> bool:
        """Count a frame as sent if it is whole and due, and nothing is queued: the caller sends it. Else return False."""
        played_at = self._played_at
        if len(payload) != self.frame_bytes or played_at - self._ahead_s > now or self._queue or self._tail:
            return False
        self._played_at = max(played_at, now) + FRAME_S
        self.sent += 1
        return True

    def push_mark(self, mark: Mark, now: float) -> list[Item]:
        """Add a mark behind all talk so far, and return the items to be sent now."""
        if self._tail:
            self._tail_marks.append(mark)
            return []
        self._queue.append(mark)
        return self._take_ready(now)

    def take_due(self, now: float) -> list[Item]:
        """Remove and return the items to be sent now."""
        if self._tail_at <= now:
            self._pad_tail()
        return self._take_ready(now)

    def finish(self, now: float) -> list[Item]:
        """Pad the tail to a frame, since the talk has ended, and return the items to be sent now."""
        self._pad_tail()
        return self._take_ready(now)

    def take_all(self) -> list[Item]:
        """Remove and return all items, for another pacer to send. The tail is not padded."""
        items = [*self._queue, *([bytes(self._tail)] if self._tail else ()), *self._tail_marks]
        self.clear()
        return items

    def clear(self) -> list[Mark]:
        """Drop all queued items and return the marks among them. The caller sends Telnyx a `clear`, too."""
        marks = [item for item in self._queue if isinstance(item, Mark)] + self._tail_marks
        self._queue.clear()
        self._waiting_frames = 0
        self._tail.clear()
        self._tail_at = self._measured_from = math.inf
        self._tail_marks = []
        self._draining = False
        self._played_at = -math.inf
        return marks

    def statistics(self) -> dict[str, int]:
        """Return counters for statistics."""
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
        """Drop the newest talk: the tail from `start` on."""
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

    def _measure_pace(self, received_bytes: int, now: float) -> None:
        """Begin to skip silence when talk arrives at the pace of speech though more than `drain_s` is queued."""
        per_s = self.frame_bytes / FRAME_S
        if self._waiting_frames <= self._drain_frames:
            self._measured_from = math.inf
        elif self._measured_from == math.inf:
            self._measured_from, self._received_bytes, self._piece_bytes = now + SETTLE_S, 0, 0
        elif now >= self._measured_from:
            self._received_bytes += received_bytes
            self._piece_bytes = max(self._piece_bytes, received_bytes)
            measured_s = now - self._measured_from
            if measured_s >= max(PACE_WINDOW_S, PACE_WINDOW_PIECES * self._piece_bytes / per_s):
                slowest, fastest = LIVE_PACE
                self._draining = slowest <= self._received_bytes / per_s / measured_s <= fastest
                self._measured_from, self._received_bytes, self._piece_bytes = now, 0, 0

    def _take_ready(self, now: float) -> list[Item]:
        """Remove and return the items that may be sent by now."""
        ready: list[Item] = []
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
            ready.append(self._queue.popleft())
        self._draining = self._draining and bool(self._queue)
        if self._waiting_frames <= self._drain_frames:
            self._measured_from = math.inf
        return ready
