"""Counts batches that were lost on the bus, by gaps in the sequence numbers of each publisher. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patchbay.protocol.batches import UNSEQUENCED

if TYPE_CHECKING:
    from patchbay.protocol.batches import Batch

JUMP_MAX: Final = 1_000_000  # a larger gap is no loss, but another numbering
EPOCHS_MAX: Final = 1000


class GapCounter:
    """Remembers the last sequence number of each publisher."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # by epoch

    def is_repeated(self, batch: Batch) -> bool:
        """Return whether a batch from another node has come before: while a bridge is replaced, two pass it on.

        What a fan-out gets are parts of what the publisher has sent, so gaps say nothing here.
        """
        if batch.sequence == UNSEQUENCED:
            return False
        last = self._last.get(batch.epoch, 0)
        if not last and len(self._last) > EPOCHS_MAX:
            self._last.clear()
        self._last[batch.epoch] = max(last, batch.sequence)
        return batch.sequence <= last

    def lost_before(self, batch: Batch) -> int:
        """Return the number of batches that are missing between this batch and its publisher's batch before."""
        last = self._last.get(batch.epoch)
        if last is None and len(self._last) > EPOCHS_MAX:
            self._last.clear()
        self._last[batch.epoch] = batch.sequence
        return batch.sequence - last - 1 if last is not None and 1 < batch.sequence - last < JUMP_MAX else 0
