"""What is done with the audio of a call that nobody listens to: counted, and the last moments kept as they came.

No frame is decoded but the last two of a reading, which say how the count falls on the tracks. Everything that is not
plainly a media frame is left to the stream.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from actors.wire import telnyx
from actors.wire.lenient import Malformed
from actors.wire.websocket import TEXT, find_frames, unmask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.wire.websocket import Frame

# How Telnyx's media frames begin. One that begins otherwise is understood as well, it only costs its decoding.
MEDIA: Final = b'{"event":"media"'


class Skimmer:
    """One cold stream.

    Args:
        readings: how many readings of the socket are kept for a listener that joins.
    """

    def __init__(self, readings: int) -> None:
        self._readings: deque[bytes] = deque(maxlen=readings)

    def take(self, data: memoryview, frames: list[Frame]) -> bool:
        """Take a reading, if all of it is media. False, and nothing taken, when something else is among it."""
        size = len(MEDIA)
        for first, _, payload, end in frames:
            if first != TEXT or unmask(data, payload, min(payload + size, end)) != MEDIA:
                return False
        # The last frames are decoded; keep the bytes before `data`, the pump's buffer, is used again.
        self._readings.append(bytes(data[frames[0][1] : frames[-1][3]]))
        return True

    def count(self, frames: list[Frame]) -> tuple[int, int]:
        """How many frames of the reading just taken are inbound, and how many outbound."""
        tracks = [self._track(message) for message in _messages(self._readings[-1], frames[-2:], frames[0][1])]
        total = len(frames)
        if len(set(tracks)) == 2:
            return total - total // 2, total // 2
        return (0, total) if tracks[-1:] == ["outbound"] else (total, 0)

    def kept(self) -> Iterator[bytes]:
        """The messages of the last moments, oldest first."""
        for reading in self._readings:
            frames, _ = find_frames(reading, 0, len(reading), len(reading))
            yield from _messages(reading, frames, 0)

    @staticmethod
    def _track(message: bytes) -> str | None:
        try:
            frame = telnyx.decode(message)
        except Malformed:
            return None
        return frame.track if isinstance(frame, telnyx.Media) else None


def _messages(reading: bytes, frames: list[Frame], offset: int) -> Iterator[bytes]:
    return (unmask(reading, payload - offset, end - offset) for _, _, payload, end in frames)
