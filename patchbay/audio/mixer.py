"""Mixes the two tracks of a call to one stream of µ-law, for clients that play whatever comes one after the other.

Pure: the time comes as an argument. n seconds of each track are n seconds of the mix. One object per stream and form.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from patchbay.audio.g711 import FRAME_BYTES, SILENCE_ULAW, mix_ulaw

if TYPE_CHECKING:
    from patchbay.protocol.telnyx import Track

HOLD_BYTES: Final = 3 * FRAME_BYTES  # of one track, waiting for the other
ABSENT_S: Final = 0.200  # a track that has been quiet for so long is not waited for

_OTHER: Final[dict[Track, Track]] = {"inbound": "outbound", "outbound": "inbound"}


class Mixer:
    """Pairs the tracks by their order of arrival.

    When a track is late, the other passes alone once more than HOLD_BYTES of it wait. What is owed for that is kept
    account of: when the late audio comes after all, it may lag by HOLD_BYTES, and what is beyond is dropped, or every
    stutter of a track would make the mix longer and the listener later for good.
    """

    def __init__(self) -> None:
        self.dropped_bytes = 0
        self._queues: dict[Track, bytearray] = {"inbound": bytearray(), "outbound": bytearray()}
        self._came_at: dict[Track, float] = {"inbound": -math.inf, "outbound": -math.inf}
        self._owed: dict[Track, int] = {"inbound": 0, "outbound": 0}  # bytes that passed without this track

    def push(self, track: Track, payload: bytes, now: float) -> list[bytes]:
        """Audio of one track has come, any number of bytes; what there is of the mix, in frames."""
        if not payload:
            return []
        self._came_at[track] = now
        queue, other = self._queues[track], _OTHER[track]
        queue += payload
        frames = self._mix()
        if now - self._came_at[other] >= ABSENT_S:
            self._owed = {"inbound": 0, "outbound": 0}
            frames += _take(queue, len(queue))
        elif len(queue) > HOLD_BYTES:
            frames += self._overflow(track)
        return frames

    def flush(self) -> list[bytes]:
        """The stream is over: what is held."""
        frames = self._mix()
        length = max(map(len, self._queues.values()))
        rest = [bytes(queue.ljust(length, SILENCE_ULAW)) for queue in self._queues.values()]
        for queue in self._queues.values():
            queue.clear()
        return frames + _take(bytearray(mix_ulaw(*rest)), length)

    def _mix(self) -> list[bytes]:
        inbound, outbound = self._queues.values()
        pairs = min(len(inbound), len(outbound)) // FRAME_BYTES
        return [mix_ulaw(*_take(inbound, FRAME_BYTES), *_take(outbound, FRAME_BYTES)) for _ in range(pairs)]

    def _overflow(self, track: Track) -> list[bytes]:
        """The other track is late: whole frames pass without it, but for those whose time has passed already."""
        queue = self._queues[track]
        excess = -(-(len(queue) - HOLD_BYTES) // FRAME_BYTES) * FRAME_BYTES
        overdue = min(excess, self._owed[track])
        del queue[:overdue]
        self.dropped_bytes += overdue
        self._owed[track] -= overdue
        self._owed[_OTHER[track]] += excess - overdue
        return _take(queue, excess - overdue)


def _take(queue: bytearray, count: int) -> list[bytes]:
    """The first `count` bytes, in frames."""
    frames = [bytes(queue[start : min(start + FRAME_BYTES, count)]) for start in range(0, count, FRAME_BYTES)]
    del queue[:count]
    return frames
