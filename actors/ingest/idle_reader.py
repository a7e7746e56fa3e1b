"""What is done with the audio of a call that nobody listens to: counted, and the last moments kept as they came.

Nothing is unmasked but two bytes of each frame, which tell a media frame from every other; a few frames are decoded
now and then to know how the count falls on the tracks. What is not plainly a media frame is left to the stream. Pure.
"""

from __future__ import annotations

import struct
from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from patchbay.protocol import telnyx
from patchbay.protocol.lenient_json import Malformed
from patchbay.websocket.frames import MEDIUM_HEADER_BYTES, MEDIUM_TEXT, unmask

if TYPE_CHECKING:
    from collections.abc import Iterator

# `{"event":"media"`: no other event of Telnyx has "me" there, nor has any other beginning of its frames. A media frame
# that begins otherwise is understood as well, it only costs its decoding.
_M_AT, _E_AT = 10, 11
_ME: Final = b"me"
_M, _E = _ME
_MEDIUM_TEXT: Final = MEDIUM_TEXT.to_bytes(2)
_begin = struct.Struct(">HH").unpack_from
LOOK_EVERY: Final = 10  # readings
READ: Final = 0
YOUNG_S: Final = 0.5
ALIKE_FROM_BYTES: Final = 1000


class IdleReader:
    """One cold stream.

    Args:
        wanted: how many messages of each track, the last ones, are kept for a listener that joins.
        now: when it became cold. Everything of the first moments is kept: that a listener is waiting for this call may
            become known a little later than that the call is there.
    """

    def __init__(self, wanted: int, now: float) -> None:
        self._wanted_of_track = wanted
        self._young_until = now + YOUNG_S
        # As they came, each with the number of its messages; or one message that was read already, whose number is 0.
        self._readings: deque[tuple[int, bytes]] = deque()
        self._kept = 0
        self._count = 0
        self._tracks: set[str] = set()

    def take(self, data: memoryview, at: int, size: int, now: float) -> tuple[int, int, int]:
        """Take the media frames at the beginning of a reading.

        Returns:
            How many are inbound, how many outbound, and where the first frame begins that is no plain media frame.
        """
        # It is kept anyway; and a look into bytes costs half of one into the poller's buffer.
        reading = bytes(data[at:size])
        total, end = _alike(reading)
        last = len(reading) - MEDIUM_HEADER_BYTES - _E_AT
        while end < last:
            begins, length = _begin(reading, end)
            payload = end + MEDIUM_HEADER_BYTES
            # The masking key is the four bytes before the payload: byte 10 is masked with its third, 11 with its last.
            if (
                begins != MEDIUM_TEXT
                or payload + length > len(reading)
                or reading[payload + _M_AT] ^ reading[payload - 2] != _M
                or reading[payload + _E_AT] ^ reading[payload - 1] != _E
            ):
                break
            total += 1
            end = payload + length
        if total:
            self._keep(total, reading[:end], now)
        return *self._split(total), at + end

    def keep(self, message: bytes, track: str, now: float) -> None:
        """Keep a media message that `take` has left: one with spaces, say, or with its keys in another order."""
        self._tracks.add(track)
        self._append(READ, message, now)

    def is_young(self, now: float) -> bool:
        """Whether everything is still kept."""
        return now < self._young_until

    def kept(self, now: float) -> Iterator[bytes]:
        """The messages of the last moments, oldest first."""
        every = chain.from_iterable(
            (reading,) if count == READ else _messages(reading) for count, reading in self._readings
        )
        return every if self.is_young(now) else islice(every, max(self._kept - self._wanted, 0), None)

    @property
    def _wanted(self) -> int:
        return self._wanted_of_track * max(len(self._tracks), 1)

    def _keep(self, messages: int, reading: bytes, now: float) -> None:
        if self._count % LOOK_EVERY == 0:
            found = map(media_in, islice(_messages(reading), 2))
            self._tracks = {media.track for media in found if media is not None}
        self._count += 1
        self._append(messages, reading, now)

    def _append(self, messages: int, reading: bytes, now: float) -> None:
        self._readings.append((messages, reading))
        self._kept += messages or 1
        while now >= self._young_until and self._readings and self._kept - (self._readings[0][0] or 1) >= self._wanted:
            self._kept -= self._readings.popleft()[0] or 1

    def _split(self, total: int) -> tuple[int, int]:
        if len(self._tracks) == 2:
            return total - total // 2, total // 2
        return (0, total) if self._tracks == {"outbound"} else (total, 0)


def _alike(reading: bytes) -> tuple[int, int]:
    """How many media frames at the beginning are as long as the two first ones, in turn, and where they end.

    As two tracks send them. All at once: a slice with a step gives one byte of every pair of frames.
    """
    if len(reading) < ALIKE_FROM_BYTES:
        return 0, 0
    first = MEDIUM_HEADER_BYTES + _begin(reading, 0)[1]
    if first + MEDIUM_HEADER_BYTES > len(reading):
        return 0, 0
    step = first + MEDIUM_HEADER_BYTES + _begin(reading, first)[1]
    pairs = len(reading) // step
    if pairs < 2 or not all(_is_media(reading, begin, pairs * step, step, pairs) for begin in (0, first)):
        return 0, 0
    return 2 * pairs, pairs * step


def _is_media(reading: bytes, begin: int, end: int, step: int, count: int) -> bool:
    """Whether a media frame begins at each step, each as long as the first one."""
    header = reading[begin : begin + 4]
    if header[:2] != _MEDIUM_TEXT:
        return False
    for at in range(4):
        if reading[begin + at : end : step] != header[at : at + 1] * count:
            return False
    key, payload = begin + MEDIUM_HEADER_BYTES - 2, begin + MEDIUM_HEADER_BYTES + _M_AT
    for at in range(2):
        keys, masked = reading[key + at : end : step], reading[payload + at : end : step]
        if int.from_bytes(keys) ^ int.from_bytes(masked) != int.from_bytes(_ME[at : at + 1] * count):
            return False
    return True


def _messages(reading: bytes) -> Iterator[bytes]:
    """The messages of whole frames."""
    at = 0
    while at < len(reading):
        payload = at + MEDIUM_HEADER_BYTES
        at = payload + _begin(reading, at)[1]
        yield unmask(reading, payload, at)


def media_in(message: bytes) -> telnyx.Media | None:
    """Read a message. None: it is no audio."""
    try:
        frame = telnyx.decode(message)
    except Malformed:
        return None
    return frame if isinstance(frame, telnyx.Media) else None
