"""Counts batches that were lost on the bus, by gaps in the sequence numbers of each publisher. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patchbay.protocol.batches import BRIDGE, UNSEQUENCED

if TYPE_CHECKING:
    from collections import Counter

    from patchbay.protocol.batches import Batch

JUMP_MAX: Final = 1_000_000  # a larger gap is no loss, but another numbering
EPOCHS_MAX: Final = 1000


class GapCounter:
    """Remembers the last sequence number of each publisher."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # by epoch

    def accept(self, batch: Batch, counters: Counter[str]) -> bool:
        """Count the batches that are missing before this one. False: this one has come before.

        A bridge passes on parts of what another node's ingest processes publish, so gaps say nothing there; while a
        bridge is replaced, two pass on the same.
        """
        last = self._last.get(batch.epoch)
        if last is None and len(self._last) > EPOCHS_MAX:
            self._last.clear()
        if batch.ingest == BRIDGE:
            return self._accept_from_bridge(batch, last or 0, counters)
        self._last[batch.epoch] = batch.sequence
        if last is not None and 1 < batch.sequence - last < JUMP_MAX:
            counters["batches_lost"] += batch.sequence - last - 1
        return True

    def _accept_from_bridge(self, batch: Batch, last: int, counters: Counter[str]) -> bool:
        if batch.sequence == UNSEQUENCED:
            return True
        if batch.sequence <= last:
            counters["batches_repeated"] += 1
            return False
        self._last[batch.epoch] = batch.sequence
        return True
