"""The replay buffer of all calls, for those who join: the batches of the bus as they came, and places in them.

Seldom is one of them asked for, and yet every frame must be kept. As an object of its own it would have left the processor's
caches by the time it is let go, and then cost once more what it cost to be delivered. A place is a number. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Of a place; the number of the batch is above. No message of the bus is longer, and what is left of 63 bits (which the
# routine in C has) is enough for the batches of forty years.
OFFSET_BITS: Final = 24
_OFFSET: Final = (1 << OFFSET_BITS) - 1


class ReplayBuffer:
    """Batches of the last `keep_s`."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._batches: deque[tuple[float, bytes]] = deque()
        self._first = 0  # the number of the oldest one

    def keep(self, message: bytes, now: float) -> int:
        """A batch has come, perhaps a while ago. Returns its place; that of an entry is so many bytes further."""
        kept, oldest = self._batches, now - self._keep_s
        while kept and kept[0][0] <= oldest:
            kept.popleft()
            self._first += 1
        kept.append((now, message))
        return self._first + len(kept) - 1 << OFFSET_BITS

    def entries(self, places: Iterable[int], *, second: bool = False) -> Iterator[tuple[float, batches.Entry]]:
        """What is at these places, as far as it is still known, and when it came; `second`: the entries behind those."""
        for place in places:
            if (index := (place >> OFFSET_BITS) - self._first) >= 0:
                came, message = self._batches[index]
                entry = batches.entry_at(message, place & _OFFSET)
                if second:
                    entry = batches.entry_at(message, (place & _OFFSET) + batches.ENTRY_BYTES + entry.length)
                yield came, entry
