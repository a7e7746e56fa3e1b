"""When each frame of talk leaves for Telnyx: whole 20 ms frames, in real time with a small lead.

Telnyx plays what it gets in order, so all that is sent faster than real time stays as delay. Pure: the time comes as
an argument; knows nothing of who talks, or of the messages the frames travel in. G.711 only.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from typing import Final

from actors.wire.g711 import SILENCE_ALAW, SILENCE_ULAW, is_silent

FRAME_S: Final = 0.020
TAIL_WAIT_S: Final = 0.060  # a piece shorter than a frame is padded and sent when no more has come for so long
_IS_SILENT: Final = {
    SILENCE_ULAW: functools.partial(is_silent, codec="PCMU"),
    SILENCE_ALAW: functools.partial(is_silent, codec="PCMA"),
}


class TalkPacer:
    """The queue of one call's talk.

    A frame leaves while what Telnyx has not played yet, this frame included, is `lead_s` at most: a talker in real time
    never waits. Faster talk is queued, `backlog_s` at most, then the oldest goes. Once more than `drain_s` is queued,
    silent frames are left out until the queue is empty. A pause in talk restarts the clock.

    Args:
        silence: the byte that is silence in the call's codec, from `g711.SILENCE`.
    """

    __slots__ = ("_ahead_s", "_backlog_frames", "_drain_frames", "_draining", "_is_silent", "_played_at", "_queue", "_silence", "_tail", "_tail_at", "dropped", "frame_bytes", "sent", "skipped")  # fmt: skip

    def __init__(
        self,
        *,
        silence: bytes,
        lead_s: float,
        backlog_s: float,
        drain_s: float,
        frame_bytes: int = 160,
    ) -> None:
        self.frame_bytes = frame_bytes
        self.dropped = 0  # frames too many
        self.skipped = 0  # silent frames left out
        self.sent = 0
        self._silence = silence
        self._is_silent = _IS_SILENT[silence]
        self._ahead_s = max(lead_s - FRAME_S, 0.0)
        self._backlog_frames = max(round(backlog_s / FRAME_S), 1)
        self._drain_frames = max(round(drain_s / FRAME_S), 1)
        self._queue: deque[bytes] = deque()
        self._tail = bytearray()
        self._tail_at = math.inf  # when the tail is padded if nothing comes
        self._draining = False
        self._played_at = -math.inf  # when Telnyx will have played all that was sent

    @property
    def next_due(self) -> float | None:
        """When `due` has something to do; None when nothing waits."""
        if self._queue:
            return min(self._played_at - self._ahead_s, self._tail_at)
        return self._tail_at if self._tail else None

    def push(self, payload: bytes, now: float) -> list[bytes]:
        """Talk has come, any number of bytes; the frames to send now."""
        if self.passes(payload, now):
            return [payload]
        self._tail += payload
        whole = len(self._tail) // self.frame_bytes * self.frame_bytes
        for start in range(0, whole, self.frame_bytes):
            self._enqueue(bytes(self._tail[start : start + self.frame_bytes]))
        del self._tail[:whole]
        self._tail_at = now + TAIL_WAIT_S if self._tail else math.inf
        return self._leave(now)

    def passes(self, payload: bytes, now: float) -> bool:
        """Whether this is a whole frame whose time has come, and nothing waits: it is to be sent as it is. Else nothing
        was done."""
        played_at = self._played_at
        if len(payload) != self.frame_bytes or played_at - self._ahead_s > now or self._queue or self._tail:
            return False
        self._played_at = max(played_at, now) + FRAME_S
        self.sent += 1
        return True

    def due(self, now: float) -> list[bytes]:
        """The frames to send now."""
        if self._tail_at <= now:
            self._pad_tail()
        return self._leave(now)

    def finish(self, now: float) -> list[bytes]:
        """The talker has finished: its last piece is padded to a frame. What must wait comes from `due`, as before."""
        self._pad_tail()
        return self._leave(now)

    def flush(self) -> list[bytes]:
        """Everything, whatever the pace."""
        self._pad_tail()
        frames = list(self._queue)
        self.sent += len(frames)
        self.clear()
        return frames

    def clear(self) -> None:
        """Forget what waits and, since Telnyx is told to as well, what it has not played."""
        self._queue.clear()
        self._tail.clear()
        self._tail_at = math.inf
        self._draining = False
        self._played_at = -math.inf

    def statistics(self) -> dict[str, int]:
        return {
            "sent": self.sent,
            "queued": len(self._queue),
            "dropped": self.dropped,
            "skipped": self.skipped,
        }

    def _pad_tail(self) -> None:
        if self._tail:
            self._enqueue(bytes(self._tail.ljust(self.frame_bytes, self._silence)))
            self._tail.clear()
        self._tail_at = math.inf

    def _enqueue(self, frame: bytes) -> None:
        if self._draining and self._is_silent(frame):
            self.skipped += 1
            return
        self._queue.append(frame)
        if len(self._queue) > self._drain_frames:
            self._draining = True
        if len(self._queue) > self._backlog_frames:
            self._queue.popleft()
            self.dropped += 1

    def _leave(self, now: float) -> list[bytes]:
        """What may leave by now."""
        if now == math.inf:
            return self.flush()
        frames = []
        while self._queue:
            if self._draining and self._is_silent(self._queue[0]):
                self._queue.popleft()
                self.skipped += 1
                continue
            if self._played_at - self._ahead_s > now:
                break
            frames.append(self._queue.popleft())
            self._played_at = max(self._played_at, now) + FRAME_S
        self._draining = self._draining and bool(self._queue)
        self.sent += len(frames)
        return frames
