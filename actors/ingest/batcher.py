"""Who wants to hear what, and the batches that go there: one message a round for each fan-out process.

Interest is what fan-outs subscribe to on our XPUB, so it heals by itself when either side restarts. A call nobody
wants has no queues, and costs neither packing nor sending. Knows entries, not what is in them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

from actors.ingest.bus_entries import acknowledgement
from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from patchbay.bus.sockets import BusSocket
    from patchbay.process.identity import Identity

SETTLE_S = 0.02
# A fan-out that stops or dies gives its interest up, and its successor says the same again a moment later: what is
# published in between is what its listeners would miss.
FADE_S = 1.0

# A batch is no longer than this, but for one entry that is: far below what the bus takes in a message, and what fan-out can take in
# without keeping others waiting.
BATCH_MAX_BYTES = 512 * 1024

Sink = list[bytes]  # what one fan-out gets at the end of the round: headers and payloads, in order


class Batcher:
    """Gathers entries for fan-outs and sends them at the end of each round.

    Args:
        on_fanout: a fan-out has come (perhaps again): tell it about every call.
        on_interest: the queues of this call (EVERY_CALL: of all) have changed.
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
        self._sinks: dict[int, Sink] = {}
        self._routes: dict[tuple[int, ...], tuple[Sink, ...]] = {}  # one for all calls that go the same ways
        self._gaps: dict[int, int] = {}
        self._interest: dict[bytes, set[int]] = {}
        self._fading: dict[tuple[bytes, int], float] = {}  # interest that was given up, until when it still counts
        self._arrived = trio.Event()
        self.batches = 0

    def queues_of(self, call: bytes) -> tuple[Sink, ...]:
        """Where this call's audio goes. Valid until `on_interest` says otherwise."""
        wanted = self._interest.get(call, set()) | self._interest.get(batches.EVERY_CALL, set())
        indexes = tuple(index for index in sorted(wanted) if index in self._sinks)
        return self._routes.setdefault(indexes, tuple(self._sinks[index] for index in indexes))

    def everywhere(self) -> Iterable[Sink]:
        """All fan-outs: news of calls goes to each, whoever listens there."""
        return self._sinks.values()

    def queue(self, fanout_index: int) -> Sink | None:
        """One fan-out."""
        return self._sinks.get(fanout_index)

    async def until_present(self, fanouts: int) -> None:
        """Wait until so many fan-outs have subscribed, with all they want (which comes together with that)."""
        while len(self._sinks) < fanouts:
            self._arrived = trio.Event()
            await self._arrived.wait()
        await trio.sleep(SETTLE_S)

    def subscription(self, message: bytes) -> None:
        """Take in what the XPUB received."""
        change = batches.parse_subscription(message)
        if change is None:
            return
        if change.call is None:
            self._fanout(change.fanout_index, present=change.wanted)
            return
        if change.wanted:
            self._fading.pop((change.call, change.fanout_index), None)
            self._interest.setdefault(change.call, set()).add(change.fanout_index)
            self._on_interest(change.call)
            if (queue := self._sinks.get(change.fanout_index)) is not None:
                queue.append(acknowledgement(change.call))
        else:
            self._fading[change.call, change.fanout_index] = trio.current_time() + FADE_S

    def fade(self, now: float) -> None:
        """Let interest end that was given up a while ago. To be called now and then."""
        for (call, index), until in list(self._fading.items()):
            if until <= now:
                del self._fading[call, index]
                wanted = self._interest.get(call, set())
                wanted.discard(index)
                if not wanted:
                    self._interest.pop(call, None)
                self._on_interest(call)

    def flush(self) -> None:
        """Send what the round has gathered."""
        for index, queue in self._sinks.items():
            if queue:
                self._send(index, queue)

    def _send(self, index: int, queue: Sink) -> None:
        message = self._pack(index, queue)
        if len(message) <= BATCH_MAX_BYTES:
            self._publish(index, message)
        else:
            for part in batches.split_entries(b"".join(queue), BATCH_MAX_BYTES):
                self._publish(index, self._pack(index, (part,)))
        queue.clear()

    def _publish(self, index: int, message: bytes) -> None:
        self._gaps[index] = self._gaps.get(index, 0) + 1
        self.batches += 1
        self._publisher.send_nowait(message)

    def _pack(self, index: int, entries: Iterable[bytes]) -> bytes:
        who = self._identity
        sequence = self._gaps.get(index, 0) + 1
        header = batches.Batch(who.index, who.slot, who.epoch, sequence, time.monotonic_ns() // 1000)
        return batches.pack_batch(index, header, entries)

    def _fanout(self, index: int, *, present: bool) -> None:
        if present:
            self._sinks.setdefault(index, [])
            self._arrived.set()
            self._on_fanout(index)
        else:
            self._sinks.pop(index, None)
            self._routes.clear()
        self._on_interest(batches.EVERY_CALL)
