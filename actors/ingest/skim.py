"""What is done with the audio of a call that nobody listens to: counted, and the last moments kept as they came.

Nothing is unmasked but two bytes of each frame, which tell a media frame from every other; a few frames are decoded
now and then to know how the count falls on the tracks. What is not plainly a media frame is left to the stream. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from actors.wire import telnyx
from actors.wire.lenient import Malformed
from actors.wire.websocket import TEXT, find_frames, unmask

if TYPE_CHECKING:
    from collections.abc import Iterator

# `{"event":"media"`: no other event of Telnyx has "me" there, nor has any other beginning of its frames. A media frame
# that begins otherwise is understood as well, it only costs its decoding.
_M_AT, _E_AT = 10, 11
_M, _E = ord("m"), ord("e")
LONG_FORM: Final = 126  # the second byte, less the mask bit, of every frame of 126 to 65,535 bytes
HEADER_BYTES: Final = 8
LOOK_EVERY: Final = 5  # readings


class Skimmer:
    """One cold stream.

    Args:
        readings: how many readings of the socket are kept for a listener that joins.
    """

    def __init__(self, readings: int) -> None:
        self._readings: deque[bytes] = deque(maxlen=readings)
        self._count = 0
        self._tracks: set[str] = set()

    def take(self, data: memoryview, at: int, size: int) -> tuple[int, int, int]:
        """Take the media frames at the beginning of a reading.

        Returns:
            How many are inbound, how many outbound, and where the first frame begins that is no plain media frame.
        """
        begin, total = at, 0
        while size - at > HEADER_BYTES + _E_AT:
            if data[at] != TEXT or data[at + 1] & 0x7F != LONG_FORM:
                break
            payload = at + HEADER_BYTES
            end = payload + (data[at + 2] << 8 | data[at + 3])
            # The masking key is the four bytes before the payload: byte 10 is masked with its third, 11 with its last.
            if (
                end > size
                or data[payload + _M_AT] ^ data[payload - 2] != _M
                or data[payload + _E_AT] ^ data[payload - 1] != _E
            ):
                break
            total += 1
            at = end
        if total:
            self._keep(bytes(data[begin:at]))
        return *self._split(total), at

    def kept(self) -> Iterator[bytes]:
        """The messages of the last moments, oldest first."""
        for reading in self._readings:
            yield from _messages(reading)

    def _keep(self, reading: bytes) -> None:
        self._readings.append(reading)
        if self._count % LOOK_EVERY == 0:
            self._tracks = {track for message in list(_messages(reading))[-2:] if (track := _track(message))}
        self._count += 1

    def _split(self, total: int) -> tuple[int, int]:
        if len(self._tracks) == 2:
            return total - total // 2, total // 2
        return (0, total) if self._tracks == {"outbound"} else (total, 0)


def _messages(reading: bytes) -> Iterator[bytes]:
    frames, _ = find_frames(reading, 0, len(reading), len(reading))
    return (unmask(reading, payload, end) for _, _, payload, end in frames)


def _track(message: bytes) -> str | None:
    try:
        frame = telnyx.decode(message)
    except Malformed:
        return None
    return frame.track if isinstance(frame, telnyx.Media) else None
