"""What comes from the bus for a call whose audio is being decoded: its order is kept, and no other call waits. No I/O of its own."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from actors.fanout.calls.audience import Audience
from actors.fanout.calls.encoder import IngestClock
from patchbay.protocol import batches

if TYPE_CHECKING:
    from actors.fanout.audit import Audit
    from actors.fanout.calls.interest import Interest
    from actors.fanout.calls.publisher_handover import Placed
    from actors.fanout.decoder.queue import DecodingQueue
    from patchbay.net.batched_send import BatchedSend
    from patchbay.process.ttl_cache import TtlCache

log = logging.getLogger(__name__)

HELD_MAX: Final = 500  # entries of one call behind frames that are being decoded; then those become silence


class Held(NamedTuple):
    """An entry that waits, and the batch that it came in."""

    entry: batches.Entry
    frame: Placed
    batch: batches.Batch


class InOrder(Audience):
    """Calls of which each entry is taken in when all frames before it have been heard.

    Args:
        decoding: what is to be decoded waits there.
        batched_send: what carries frames to listeners; nothing is left in it when `go_on` returns.

    Attributes:
        heard: frames, each by how many heard it.
    """

    def __init__(
        self,
        interest: Interest,
        ended: TtlCache[tuple[batches.EndReason, bytes]],
        audit: Audit | None,
        decoding: DecodingQueue,
        batched_send: BatchedSend,
    ) -> None:
        super().__init__(interest, ended, audit)
        self._decoding = decoding
        self._batched_send = batched_send
        self._clock = IngestClock()
        self._held: dict[bytes, deque[Held]] = {}  # by call
        self.heard = 0
        self.counters: Counter[str] = Counter()

    @abstractmethod
    def _take(self, entry: batches.Entry, frame: Placed, batch: batches.Batch, now: float) -> None:
        """Take in one entry; a fault of ours in it harms no other."""

    def go_on(self, now: float) -> None:
        """Deliver what has been decoded, and take in what had to wait for that."""
        changed = self._decoding.changed
        while changed:
            self._go_on_with(changed.popitem()[0].digest, now)
            self._let_in(now)
        self._let_in(now)
        self._batched_send.flush()

    def _take_in_order(self, entry: batches.Entry, frame: Placed, batch: batches.Batch, now: float) -> None:
        """Take an entry in as soon as it is its turn."""
        if entry.call not in self._held and not self._must_wait(entry):
            self._take(entry, frame, batch, now)
            return
        message, at, place = frame
        alone = message[at : at + batches.ENTRY_BYTES + entry.length]  # or all of the batch would be kept
        held = self._held.setdefault(entry.call, deque())
        held.append(Held(entry, (alone, 0, place), batch))
        if len(held) > HELD_MAX and (call := self.live.get(entry.call)) is not None and call.decoding is not None:
            self._decoding.give_up(call.decoding)

    def _must_wait(self, entry: batches.Entry) -> bool:
        """Whether frames must be decoded first. Another frame takes its place behind them by itself."""
        call = self.live.get(entry.call)
        return entry.kind != batches.AUDIO and call is not None and call.is_decoding

    def _go_on_with(self, digest: bytes, now: float) -> None:
        if (call := self.live.get(digest)) is not None:
            try:
                self.heard += call.hand_out()
            except Exception:  # a call's outermost boundary
                log.exception("decoded audio was lost", extra={"call_control_id": call.call_control_id})
                self.counters["entries_failed"] += 1
        held = self._held.get(digest)
        if held:
            self._let_in(now)  # who waits for the replay buffer is concerned, too
        while held and not self._must_wait(held[0].entry):
            entry, frame, batch = held.popleft()
            self._clock.time_us = batch.time_us
            self._take(entry, frame, batch, now)
        if not held:
            self._held.pop(digest, None)
