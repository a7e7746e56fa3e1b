"""Batches that were lost on the bus: each process that publishes numbers its own. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from patchbay.protocol.batches import Batch

JUMP_MAX: Final = 1_000_000  # more is no loss, but another numbering
EPOCHS_MAX: Final = 1000


class GapCounter:
    """The last number of every process that publishes."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # by epoch

    def lost_before(self, batch: Batch) -> int:
        """How many are missing between this one and the one before."""
        last = self._last.get(batch.epoch)
        if last is None and len(self._last) > EPOCHS_MAX:
            self._last.clear()
        self._last[batch.epoch] = batch.sequence
        return batch.sequence - last - 1 if last is not None and 1 < batch.sequence - last < JUMP_MAX else 0
