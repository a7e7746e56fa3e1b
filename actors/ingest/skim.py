"""What is done with the audio of a call that nobody listens to: counted, and the last moments kept as they came.

Nothing is unmasked but two bytes of each frame, which tell a media frame from every other; a few frames are decoded
now and then to know how the count falls on the tracks. What is not plainly a media frame is left to the stream. Pure.
"""

from __future__ import annotations

import struct
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
WHOLE_MASKED_TEXT: Final = TEXT << 8 | 0xFE  # of 126 to 65,535 bytes: what every media frame is
HEADER_BYTES: Final = 8
_begin = struct.Struct(">HH").unpack_from
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
        # It is kept anyway; and a look into bytes costs half of one into the pump's buffer.
        reading = bytes(data[at:size])
        end, last, total = 0, len(reading) - HEADER_BYTES - _E_AT, 0
        while end < last:
            begins, length = _begin(reading, end)
            payload = end + HEADER_BYTES
            # The masking key is the four bytes before the payload: byte 10 is masked with its third, 11 with its last.
            if (
                begins != WHOLE_MASKED_TEXT
                or payload + length > len(reading)
                or reading[payload + _M_AT] ^ reading[payload - 2] != _M
                or reading[payload + _E_AT] ^ reading[payload - 1] != _E
            ):
                break
            total += 1
            end = payload + length
        if total:
            self._keep(reading[:end])
        return *self._split(total), at + end

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
