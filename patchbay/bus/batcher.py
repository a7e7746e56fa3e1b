"""Gathers entries for fan-out processes by their interest, and sends each its batch: one message a round.

Interest is what fan-outs subscribe to on this process's XPUB, so it is right again by itself when either side restarts.
A call that no fan-out wants has no queues, and costs neither packing nor sending. Knows nothing of what is in an entry.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from patchbay.bus.sockets import BusSocket
    from patchbay.process.identity import Identity

SETTLE_S = 0.02
# Interest outlives its withdrawal by so long: a fan-out that stops withdraws it, its successor subscribes again a
# moment later, and the listeners would miss what is published in between.
INTEREST_GRACE_S = 1.0

# Longest batch, unless one entry is longer: far below the bus's limit, and short enough for a fan-out to read without
# keeping others waiting.
BATCH_MAX_BYTES = 512 * 1024

EntryQueue = list[bytes]  # entries for one fan-out, until the next flush: headers and payloads, in order


class Batcher:
    """Gathers entries for fan-outs, and sends them with each flush.

    Args:
        on_fanout: called with the index of a fan-out that has come, perhaps again: it must be told about every call.
        on_interest: called with a call (EVERY_CALL: all calls) whose queues have changed.

    Attributes:
        batches: messages that were sent.
    """

    def __init__(
        self,
        publisher: BusSocket,
        identity: Identity,
        *,
        on_fanout: Callable[[int], None],
        on_interest: Callable[[bytes], None],
    ) -> None:
        self._publisher = publisher
        self._identity = identity
        self._on_fanout = on_fanout
        self._on_interest = on_interest
        self._queues: dict[int, EntryQueue] = {}
        self._routes: dict[
            tuple[int, ...], tuple[EntryQueue, ...]
        ] = {}  # by fan-outs: one tuple for all calls that the same ones want
        self._sequences: dict[int, int] = {}
        self._interest: dict[bytes, set[int]] = {}
        self._withdrawn: dict[tuple[bytes, int], float] = {}  # interest that was withdrawn, until when it counts
        self._arrived = trio.Event()
        self.batches = 0

    def queues_of(self, call: bytes) -> tuple[EntryQueue, ...]:
        """Return the queues for audio of this call. Valid until `on_interest` is called."""
        wanted = self._interest.get(call, set()) | self._interest.get(batches.EVERY_CALL, set())
        indexes = tuple(index for index in sorted(wanted) if index in self._queues)
        return self._routes.setdefault(indexes, tuple(self._queues[index] for index in indexes))

    @property
    def calls(self) -> list[bytes]:
        """Return the calls that fan-outs have named, EVERY_CALL too."""
        return list(self._interest)

    def all_queues(self) -> Iterable[EntryQueue]:
        """Return the queues of all fan-outs, for entries that each of them gets."""
        return self._queues.values()

    def queue(self, fanout_index: int) -> EntryQueue | None:
        """Return the queue of one fan-out; None when there is no such fan-out."""
        return self._queues.get(fanout_index)

    async def wait_for_fanouts(self, count: int) -> None:
        """Wait until so many fan-outs have subscribed, with their interest. Cancelling is safe. One caller at a
        time."""
        while sum(index < batches.BRIDGE for index in self._queues) < count:
            self._arrived = trio.Event()
            await self._arrived.wait()
        await trio.sleep(SETTLE_S)

    def on_subscription(self, message: bytes) -> None:
        """Take a subscription, or its end, that the XPUB has received."""
        change = batches.parse_subscription(message)
        if change is None:
            return
        if change.call is None:
            self._fanout(change.fanout_index, present=change.wanted)
            return
        if change.wanted:
            self._withdrawn.pop((change.call, change.fanout_index), None)
            self._interest.setdefault(change.call, set()).add(change.fanout_index)
            self._on_interest(change.call)
            if (queue := self._queues.get(change.fanout_index)) is not None:
                queue.append(batches.news_entry(batches.ACKNOWLEDGED, 0, change.call))  # acknowledges the interest
        else:
            self._withdrawn[change.call, change.fanout_index] = trio.current_time() + INTEREST_GRACE_S

    def expire_interest(self, now: float) -> None:
        """End interest that was withdrawn INTEREST_GRACE_S ago. To be called about once a second."""
        for (call, index), until in list(self._withdrawn.items()):
            if until <= now:
                del self._withdrawn[call, index]
                wanted = self._interest.get(call, set())
                wanted.discard(index)
                if not wanted:
                    self._interest.pop(call, None)
                self._on_interest(call)

    def flush(self) -> None:
        """Send each fan-out all entries of the round."""
        for index, queue in self._queues.items():
            if queue:
                self._send(index, queue)

    def flush_as(self, header: batches.Batch) -> None:
        """Send each fan-out its entries in one batch with this header: parts of a batch that was sent before."""
        for index, queue in self._queues.items():
            if queue:
                self.batches += 1
                self._publisher.send_nowait(batches.pack_batch(index, header, queue))
                queue.clear()

    def _send(self, index: int, queue: EntryQueue) -> None:
        message = self._pack(index, queue)
        if len(message) <= BATCH_MAX_BYTES:
            self._publish(index, message)
        else:
            for part in batches.split_entries(b"".join(queue), BATCH_MAX_BYTES):
                self._publish(index, self._pack(index, (part,)))
        queue.clear()

    def _publish(self, index: int, message: bytes) -> None:
        self._sequences[index] = self._sequences.get(index, 0) + 1
        self.batches += 1
        self._publisher.send_nowait(message)

    def _pack(self, index: int, entries: Iterable[bytes]) -> bytes:
        who = self._identity
        sequence = self._sequences.get(index, 0) + 1
        header = batches.Batch(who.index, who.slot, who.epoch, sequence, time.monotonic_ns() // 1000)
        return batches.pack_batch(index, header, entries)

    def _fanout(self, index: int, *, present: bool) -> None:
        if present:
            self._queues.setdefault(index, [])
            self._arrived.set()
            self._on_fanout(index)
        else:
            self._queues.pop(index, None)
            self._routes.clear()
        self._on_interest(batches.EVERY_CALL)
