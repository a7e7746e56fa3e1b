"""Defines encoders: each makes the frames of one encoding of a call's audio, once for all subscribers. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from patchbay.protocol.batches import entry_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from patchbay.protocol.batches import Entry


class IngestClock:
    """Holds the time at which ingest has published the batch that is being delivered.

    Attributes:
        time_us: µs on the machine's monotonic clock; set for each batch.
    """

    __slots__ = ("time_us",)

    def __init__(self) -> None:
        self.time_us = 0


class Encoder(ABC):
    """Makes WebSocket frames from entries of the bus."""

    def encode_at(self, batch: bytes, at: int, end: int, now: float) -> bytes:
        """Encode the entry in batch[at:end], as `encode` does. Overridden where few fields of the entry are needed."""
        del end
        return self.encode(entry_at(batch, at), now)

    @abstractmethod
    def encode(self, entry: Entry, now: float) -> bytes:
        """Return complete frames for one entry of audio; empty when more audio is needed first."""

    def replay(self, entries: Iterable[Entry], now: float) -> bytes:
        """Return the frames of the replay buffer, for a subscriber that joins."""
        return b"".join(self.encode(entry, now) for entry in entries)

    def flush(self) -> bytes:
        """Return the frames of audio that was held back, after the stream has ended."""
        return b""


class NoEncoder(Encoder):
    """Makes no frames, in place of an encoder that has failed."""

    def encode(self, entry: Entry, now: float) -> bytes:
        return b""
