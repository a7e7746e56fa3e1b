"""Telnyx's play queue: media in order at real time, marks, clear. Pure; the time is an argument, in seconds.

What was played comes out as one unbroken stream of coded audio, with silence where nothing was played.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from simulator.talk import rate_limit

if TYPE_CHECKING:
    from simulator.codecs import Codec

QUEUE_MAX_S = 600  # Telnyx's own limit is not documented
ROUNDING = 1e-3  # of a byte: a wake-up at the very time a mark is due must find it due


class Playback:
    """The queue of one stream. Positions are bytes of audio since `began_at`."""

    def __init__(self, codec: Codec, began_at: float) -> None:
        self._codec = codec
        self._began_at = began_at
        self._queue: deque[tuple[int, bytes]] = deque()
        self._end = 0  # where the last queued audio ends
        self._taken = 0  # played() has returned everything before this
        self._marks: deque[tuple[int, str]] = deque()
        self._reached: list[str] = []

    def media(self, payload: bytes, now: float) -> None:
        """Queue audio behind what is queued. Raises Refused when the queue is too long."""
        if self.queued_s(now) + len(payload) / self._codec.bytes_per_s > QUEUE_MAX_S:
            raise rate_limit(f"more than {QUEUE_MAX_S} s of media are queued")
        start = max(self._position(now), self._end)
        self._queue.append((start, payload))
        self._end = start + len(payload)

    def mark(self, name: str, now: float) -> None:
        """Set a mark behind what is queued; when nothing is, it is reached at once."""
        self._marks.append((max(self._position(now), self._end), name))

    def clear(self, now: float) -> None:
        """Stop what is playing, forget what is queued; all marks are reached."""
        position = self._position(now)
        kept = [(start, payload[: position - start]) for start, payload in self._queue if start < position]
        self._queue = deque(kept)
        self._end = position
        self._reached += [name for _, name in self._marks]
        self._marks.clear()

    def reached(self, now: float) -> list[str]:
        """The marks reached by now that were not returned before, in order."""
        position = self._position(now)
        while self._marks and self._marks[0][0] <= position:
            self._reached.append(self._marks.popleft()[1])
        names, self._reached = self._reached, []
        return names

    def next_mark_at(self) -> float:
        """When `reached` will have something; infinity when no mark is set."""
        if self._reached:
            return -math.inf
        return self._began_at + self._marks[0][0] / self._codec.bytes_per_s if self._marks else math.inf

    def played(self, now: float) -> bytes:
        """What was played since the last call, without a gap."""
        until = self._position(now)
        pieces = []
        while self._taken < until:
            piece = self._piece(until)
            pieces.append(piece)
            self._taken += len(piece)
        return b"".join(pieces)

    def queued_s(self, now: float) -> float:
        """How much audio is still to be played."""
        return max(0, self._end - self._position(now)) / self._codec.bytes_per_s

    def _piece(self, until: int) -> bytes:
        """The next stretch of audio or of silence, not beyond a position."""
        if not self._queue or self._queue[0][0] >= until:
            return self._codec.silence(until - self._taken)
        start, payload = self._queue[0]
        if start > self._taken:
            return self._codec.silence(start - self._taken)
        if start + len(payload) <= until:
            self._queue.popleft()
        return payload[self._taken - start : until - start]

    def _position(self, now: float) -> int:
        sample = self._codec.sample_bytes
        position = math.floor((now - self._began_at) * self._codec.bytes_per_s + ROUNDING)
        # A clear within the rounding must not cut what played() has given out already.
        return max(position // sample * sample, self._taken)
