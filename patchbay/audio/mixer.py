"""Mixes the two tracks of a call to one stream of µ-law, for clients that play all audio in sequence.

Pure: the time is an argument. n seconds of each track make n seconds of the mix.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from patchbay.audio.g711 import FRAME_BYTES, SILENCE_ULAW, mix_ulaw

if TYPE_CHECKING:
    from patchbay.protocol.telnyx import Track

HOLD_BYTES: Final = 3 * FRAME_BYTES  # held of one track until the other arrives
ABSENT_S: Final = 0.200  # a track without audio for this long is not waited for

_OTHER: Final[dict[Track, Track]] = {"inbound": "outbound", "outbound": "inbound"}


class Mixer:
    """Pairs the frames of two tracks by their order of arrival. One object for each stream and form.

    When one track is late, the other passes alone once more than HOLD_BYTES of it wait. The late track then owes as
    many bytes: late audio may lag by HOLD_BYTES, and owed audio beyond that is dropped. Otherwise each stall of a track
    would lengthen the mix, and delay the listener for good.

    Attributes:
        dropped_bytes: late audio that was dropped.
    """

    def __init__(self) -> None:
        self.dropped_bytes = 0
        self._queues: dict[Track, bytearray] = {"inbound": bytearray(), "outbound": bytearray()}
        self._came_at: dict[Track, float] = {"inbound": -math.inf, "outbound": -math.inf}
        self._owed: dict[Track, int] = {"inbound": 0, "outbound": 0}  # bytes that passed alone for lack of this track

    def push(self, track: Track, payload: bytes, now: float) -> list[bytes]:
        """Add audio of one track, any number of bytes, and return the frames of the mix that are complete."""
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
        """Return the rest of the mix when the stream has ended."""
        frames = self._mix()
        length = max(map(len, self._queues.values()))
        tails = [bytes(queue.ljust(length, SILENCE_ULAW)) for queue in self._queues.values()]
        for queue in self._queues.values():
            queue.clear()
        return frames + _take(bytearray(mix_ulaw(*tails)), length)

    def _mix(self) -> list[bytes]:
        inbound, outbound = self._queues.values()
        pairs = min(len(inbound), len(outbound)) // FRAME_BYTES
        return [mix_ulaw(*_take(inbound, FRAME_BYTES), *_take(outbound, FRAME_BYTES)) for _ in range(pairs)]

    def _overflow(self, track: Track) -> list[bytes]:
        """Let whole frames pass alone, since the other track is late; drop frames that are owed."""
        queue = self._queues[track]
        excess = -(-(len(queue) - HOLD_BYTES) // FRAME_BYTES) * FRAME_BYTES
        overdue = min(excess, self._owed[track])
        del queue[:overdue]
        self.dropped_bytes += overdue
        self._owed[track] -= overdue
        self._owed[_OTHER[track]] += excess - overdue
        return _take(queue, excess - overdue)


def _take(queue: bytearray, count: int) -> list[bytes]:
    """Remove the first `count` bytes and return them in frames."""
    frames = [bytes(queue[start : min(start + FRAME_BYTES, count)]) for start in range(0, count, FRAME_BYTES)]
    del queue[:count]
    return frames
