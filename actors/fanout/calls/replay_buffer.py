"""Keeps the recent batches of the bus, for subscribers that join. A frame is found by its location: one number. Pure.

Every frame must be kept, and few are ever read. A frame as an object of its own would have left the processor's caches
when it is freed, which would cost as much again as its delivery.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The lower bits of a location are the offset in the batch, the upper bits the batch's number. No message of the bus is
# longer, and the rest of 63 bits (the integer of the routine in C) numbers the batches of forty years.
OFFSET_BITS: Final = 24
_OFFSET: Final = (1 << OFFSET_BITS) - 1


class ReplayBuffer:
    """Holds the batches of the last `keep_s` seconds."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._batches: deque[tuple[float, bytes]] = deque()
        self._first = 0  # the number of the oldest batch

    def keep(self, message: bytes, now: float) -> int:
        """Keep a batch that came at `now`. Return the location of the batch.

        The location of an entry is greater by the offset of the entry in the batch, in bytes.
        """
        kept, oldest = self._batches, now - self._keep_s
        while kept and kept[0][0] <= oldest:
            kept.popleft()
            self._first += 1
        kept.append((now, message))
        return self._first + len(kept) - 1 << OFFSET_BITS

    def entries(self, locations: Iterable[int], *, second: bool = False) -> Iterator[tuple[float, batches.Entry]]:
        """Yield the entries at these locations, and when each came. Locations whose batch is gone are left out.

        Args:
            second: yield the entries behind those.
        """
        for location in locations:
            if (index := (location >> OFFSET_BITS) - self._first) >= 0:
                came, message = self._batches[index]
                entry = batches.entry_at(message, location & _OFFSET)
                if second:
                    entry = batches.entry_at(message, (location & _OFFSET) + batches.ENTRY_BYTES + entry.length)
                yield came, entry
