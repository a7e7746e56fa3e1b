"""Reads the audio of a call that nobody listens to: counts frames, and keeps the last ones undecoded. Pure.

Only two bytes of each frame are unmasked: they tell a media frame from every other. A few frames are decoded now and
then, to know how many frames belong to each track. A frame that is not plainly media is left to the stream.
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

# `{"event":"media"`: no other event of Telnyx has "me" there, nor has another order of the keys. A media frame that
# begins otherwise is left to the stream, which decodes it.
_M_AT, _E_AT = 10, 11
_ME: Final = b"me"
_M, _E = _ME
_MEDIUM_TEXT: Final = MEDIUM_TEXT.to_bytes(2)
_begin = struct.Struct(">HH").unpack_from
SAMPLE_EVERY: Final = 10  # readings, of which one is decoded in part
SINGLE: Final = 0  # in place of a number of messages: one message, unmasked
KEEP_ALL_S: Final = 0.5
ALIKE_FROM_BYTES: Final = 1000


class IdleReader:
    """Counts and keeps the messages of one stream while nobody listens.

    Args:
        wanted: messages of each track to keep, the last ones, for a listener that joins.
        now: when this began. All messages of the first KEEP_ALL_S are kept: fan-out may learn of the call a little
            before it says that a listener waits for it.
    """

    def __init__(self, wanted: int, now: float) -> None:
        self._wanted_of_track = wanted
        self._keep_all_until = now + KEEP_ALL_S
        # Readings as they came, each with the number of its messages; or one message, unmasked (SINGLE).
        self._readings: deque[tuple[int, bytes]] = deque()
        self._kept = 0
        self._count = 0
        self._tracks: set[str] = set()

    def take(self, data: memoryview, at: int, size: int, now: float) -> tuple[int, int, int]:
        """Take the media frames at the beginning of a reading.

        Returns:
            Numbers of inbound and of outbound frames, and where the first frame begins that is no plain media frame.
        """
        # These bytes are kept anyway; and to index them costs half as much as to index the poller's buffer.
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

    def add(self, message: bytes, track: str, now: float) -> None:
        """Keep a media message that `take` has left: one with spaces, say, or with its keys in another order."""
        self._tracks.add(track)
        self._append(SINGLE, message, now)

    def is_complete(self, now: float) -> bool:
        """Tell whether all messages since the beginning are still kept."""
        return now < self._keep_all_until

    def replay(self, now: float) -> Iterator[bytes]:
        """Return the messages that are kept, the oldest first."""
        every = chain.from_iterable(
            (reading,) if count == SINGLE else _messages(reading) for count, reading in self._readings
        )
        return every if self.is_complete(now) else islice(every, max(self._kept - self._wanted, 0), None)

    @property
    def _wanted(self) -> int:
        return self._wanted_of_track * max(len(self._tracks), 1)

    def _keep(self, messages: int, reading: bytes, now: float) -> None:
        if self._count % SAMPLE_EVERY == 0:
            found = map(decode_audio, islice(_messages(reading), 2))
            self._tracks = {media.track for media in found if media is not None}
        self._count += 1
        self._append(messages, reading, now)

    def _append(self, messages: int, reading: bytes, now: float) -> None:
        self._readings.append((messages, reading))
        self._kept += messages or 1
        while (
            now >= self._keep_all_until and self._readings and self._kept - (self._readings[0][0] or 1) >= self._wanted
        ):
            self._kept -= self._readings.popleft()[0] or 1

    def _split(self, total: int) -> tuple[int, int]:
        if len(self._tracks) == 2:
            return total - total // 2, total // 2
        return (0, total) if self._tracks == {"outbound"} else (total, 0)


def _alike(reading: bytes) -> tuple[int, int]:
    """Return how many media frames at the beginning are as long as the first two, in turn, and where they end.

    Two tracks send such frames. All are compared at once: a slice with a step has one byte of every pair of frames.
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
    """Tell whether a media frame begins at each step, each as long as the first one."""
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
    """Return the messages of whole frames, unmasked."""
    at = 0
    while at < len(reading):
        payload = at + MEDIUM_HEADER_BYTES
        at = payload + _begin(reading, at)[1]
        yield unmask(reading, payload, at)


def decode_audio(message: bytes) -> telnyx.Media | None:
    """Decode a message. Returns None for one that is no audio."""
    try:
        frame = telnyx.decode(message)
    except Malformed:
        return None
    return frame if isinstance(frame, telnyx.Media) else None
