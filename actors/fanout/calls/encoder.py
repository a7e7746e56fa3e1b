"""What makes the frames of one form of a call's audio, for all who hear it in that form. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from patchbay.protocol.batches import entry_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from patchbay.protocol.batches import Entry


class IngestClock:
    """When ingest had what is being taken in from the bus; set for each batch.

    Attributes:
        time_us: on the machine's monotonic clock.
    """

    __slots__ = ("time_us",)

    def __init__(self) -> None:
        self.time_us = 0


class Encoder(ABC):
    """Makes WebSocket frames."""

    def encode_at(self, batch: bytes, at: int, end: int, now: float) -> bytes:
        """The same as `encode`, of the entry in these bytes of a batch. For forms that need little of it."""
        del end
        return self.encode(entry_at(batch, at), now)

    @abstractmethod
    def encode(self, entry: Entry, now: float) -> bytes:
        """Whole frames of one piece of audio, ready to be written; empty when there is nothing to send (yet)."""

    def replay(self, entries: Iterable[Entry], now: float) -> bytes:
        """Those of the replay buffer, for one that joins."""
        return b"".join(self.encode(entry, now) for entry in entries)

    def flush(self) -> bytes:
        """The stream is over: what was held back."""
        return b""


class NoEncoder(Encoder):
    """Makes nothing: of a form that can't be made."""

    def encode(self, entry: Entry, now: float) -> bytes:
        return b""
