"""Keeps the order of bus entries of a call whose audio is being decoded, without delaying other calls. No I/O of its
own."""

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
    from actors.fanout.calls.publisher_handover import BatchFrame
    from actors.fanout.decoder.queue import DecodingQueue
    from patchbay.net.batched_send import BatchedSend
    from patchbay.process.ttl_cache import TtlCache

log = logging.getLogger(__name__)

HELD_MAX: Final = 500  # entries of one call behind frames that are being decoded; then those frames become silence


class HeldEntry(NamedTuple):
    """An entry that waits, and the header of its batch."""

    entry: batches.Entry
    frame: BatchFrame
    batch: batches.Batch


class InOrder(Audience):
    """Handles each entry of a call when all frames before it have been delivered.

    Args:
        decoding: decodes frames.
        batched_send: writes frames to listeners; empty when `resume` returns.

    Attributes:
        delivered: number of receivers of all frames together.
    """

    def __init__(
        self,
        interest: Interest,
        ended: TtlCache[tuple[batches.EndReason, bytes]],
        audit: Audit | None,
        decoding: DecodingQueue,
        batched_send: BatchedSend,
        *,
        is_clustered: bool = False,
    ) -> None:
        super().__init__(interest, ended, audit, is_clustered=is_clustered)
        self._decoding = decoding
        self._batched_send = batched_send
        self._clock = IngestClock()
        self._held: dict[bytes, deque[HeldEntry]] = {}  # by call
        self.delivered = 0
        self.counters: Counter[str] = Counter()

    @abstractmethod
    def _handle(self, entry: batches.Entry, frame: BatchFrame, batch: batches.Batch, now: float) -> None:
        """Handle one entry; an exception is logged and harms no other entry."""

    def resume(self, now: float) -> None:
        """Deliver the frames that have been decoded, and handle the entries that waited for them."""
        changed = self._decoding.changed
        while changed:
            self._resume_call(changed.popitem()[0].digest, now)
            self._join_waiting(now)
        self._join_waiting(now)
        self._batched_send.flush()

    def _handle_in_order(self, entry: batches.Entry, frame: BatchFrame, batch: batches.Batch, now: float) -> None:
        """Handle an entry now, or hold it until its turn comes."""
        if entry.call not in self._held and not self._must_wait(entry):
            self._handle(entry, frame, batch, now)
            return
        message, at, location = frame
        alone = message[at : at + batches.ENTRY_BYTES + entry.length]  # a copy, so that the batch can be freed
        held = self._held.setdefault(entry.call, deque())
        held.append(HeldEntry(entry, (alone, 0, location), batch))
        if len(held) > HELD_MAX and (call := self.live.get(entry.call)) is not None and call.decoding is not None:
            self._decoding.silence_stream(call.decoding)

    def _must_wait(self, entry: batches.Entry) -> bool:
        """Return whether frames must be decoded before this entry. Audio never waits here: it is decoded in order."""
        call = self.live.get(entry.call)
        return entry.kind != batches.AUDIO and call is not None and call.is_decoding

    def _resume_call(self, digest: bytes, now: float) -> None:
        if (call := self.live.get(digest)) is not None:
            try:
                self.delivered += call.deliver_decoded()
            except Exception:  # a call's outermost boundary
                log.exception("decoded audio was lost", extra={"call_control_id": call.call_control_id})
                self.counters["entries_failed"] += 1
        held = self._held.get(digest)
        if held:
            self._join_waiting(now)  # held entries concern subscribers that wait for the replay buffer, too
        while held and not self._must_wait(held[0].entry):
            entry, frame, batch = held.popleft()
            self._clock.time_us = batch.time_us
            self._handle(entry, frame, batch, now)
        if not held:
            self._held.pop(digest, None)
