"""Gives the fan-outs of this node the calls of other nodes, as an ingest process would. Knows no link and no Redis."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from patchbay.bus.batcher import Batcher
    from patchbay.process.socket_names import Slot

LIVE_INTERVAL_S: Final = 2.0


class RemoteCall(NamedTuple):
    """A call of another node. `start` and `floor`: entries; `epoch`: of the ingest process that has the stream."""

    node: str
    number: int
    epoch: int
    start: bytes
    floor: bytes


class Imports:
    """The calls that cross to this node.

    Args:
        batcher: knows which fan-outs want which call.
        slot: of this bridge: where fan-outs send talk.
        on_wanted: called with a call, and whether a fan-out wants it now.

    Attributes:
        counters: entries and batches that came.
    """

    def __init__(self, batcher: Batcher, slot: Slot, on_wanted: Callable[[bytes, bool], None]) -> None:
        self._batcher = batcher
        self._slot = slot
        self._on_wanted = on_wanted
        self._calls: dict[bytes, RemoteCall] = {}
        self._next_live = float("-inf")
        self.counters: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._calls)

    def node_of(self, call: bytes) -> str | None:
        """Return the node whose stream the fan-outs hear; None: there is none."""
        found = self._calls.get(call)
        return None if found is None else found.node

    # ---- from fan-outs

    def on_interest(self, call: bytes) -> None:
        """Note that fan-outs want a call now, or do not any more; tell those that do what is known."""
        if call == batches.EVERY_CALL:  # a fan-out has come or gone
            for each in self._batcher.calls:
                if each != call:
                    self.on_interest(each)
            return
        queues = self._batcher.queues_of(call)
        self._on_wanted(call, bool(queues))
        if (known := self._calls.get(call)) is None:
            return
        if queues:
            for queue in queues:
                queue.extend((known.start, known.floor))
            self._flush(known.epoch)
        else:
            del self._calls[call]

    # ---- from other nodes

    def receive(self, node: str, message: bytes) -> None:
        """Take a batch of another node, which begins with its header.

        Raises:
            BusFormatError: the batch can't be read.
        """
        message = bytes(batches.TOPIC_BYTES) + message
        batch, at = batches.unpack_batch(message)
        self.counters["batches_in"] += 1
        try:
            for entry, whole in batches.entries(message, at):
                self._take(node, entry, whole, batch.epoch)
        finally:
            self._flush(batch.epoch, batch.sequence)

    def lose(self, node: str, calls: Iterable[bytes] | None = None) -> list[bytes]:
        """Tell fan-outs that the calls of a node (None: all) are gone. Returns those calls."""
        chosen = list(self._calls) if calls is None else calls
        lost = [call for call in chosen if call in self._calls and self._calls[call].node == node]
        for call in lost:
            gone = self._calls.pop(call)
            entry = batches.news_entry(batches.GONE, gone.number, call)
            for queue in self._batcher.queues_of(call):
                queue.append(entry)
            self._flush(gone.epoch)
        return lost

    # ---- from the clock

    def on_second(self, now: float) -> None:
        """Tell all fan-outs which calls are live, every LIVE_INTERVAL_S."""
        self._batcher.expire_interest(now)
        if now >= self._next_live:
            self._next_live = now + LIVE_INTERVAL_S
            numbers = b"".join(call.number.to_bytes(8, "little") for call in self._calls.values())
            entry = batches.news_entry(batches.LIVE, 0, batches.EVERY_CALL, numbers)
            for queue in self._batcher.all_queues():
                queue.append(entry)
            self._flush(0)

    # ----

    def _take(self, node: str, entry: batches.Entry, whole: bytes, epoch: int) -> None:
        self.counters["entries_in"] += 1
        if entry.kind in batches.TO_TALKER:
            for queue in self._batcher.all_queues():
                queue.append(whole)
            return
        known = self._calls.get(entry.call)
        if entry.kind == batches.START:
            if known is not None and known.number > entry.stream:
                return
            floor = known.floor if known is not None and known.number == entry.stream else b""
            self._calls[entry.call] = RemoteCall(node, entry.stream, epoch, whole, floor)
        elif known is not None and known.number == entry.stream:
            if entry.kind in batches.ENDS:
                del self._calls[entry.call]
            elif entry.kind == batches.FLOOR:
                self._calls[entry.call] = known._replace(floor=whole)
        for queue in self._batcher.queues_of(entry.call):
            queue.append(whole)

    def _flush(self, epoch: int, sequence: int = batches.UNSEQUENCED) -> None:
        header = batches.Batch(batches.BRIDGE, self._slot, epoch, sequence, time.monotonic_ns() // 1000)
        self._batcher.flush_as(header)
