"""Knows the calls that stream into this node, from what its ingest processes tell every fan-out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class LocalCall:
    """A call that streams into this node.

    Attributes:
        number: of its stream; a later stream has a higher one.
        owner, epoch: of the ingest process that has the stream: index and slot, and its epoch.
        start, floor: the entries that were told last; `floor` is empty while nobody has the floor.
        confirmed_at: when the ingest process said last that the stream is live.
    """

    digest: bytes
    number: int
    owner: tuple[int, str]
    epoch: int
    start: bytes
    confirmed_at: float
    floor: bytes = b""

    def news(self) -> bytes:
        """Return one batch, without its topic, that tells a node of the call."""
        header = batches.Batch(self.owner[0], self.owner[1], self.epoch, batches.UNSEQUENCED, 0)
        return batches.pack_batch(0, header, (self.start, self.floor))[batches.TOPIC_BYTES :]


class LocalCalls:
    """The table of these calls.

    Attributes:
        changed: digests of calls that have begun or ended, or have another stream, since this was cleared.
    """

    FORGET_AFTER_S = 15.0  # longer than a stream waits for its ingest's next process

    def __init__(self) -> None:
        self._calls: dict[bytes, LocalCall] = {}
        self.changed: set[bytes] = set()

    def __iter__(self) -> Iterator[LocalCall]:
        return iter(self._calls.values())

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, digest: bytes) -> LocalCall | None:
        """Return a call; None: it does not stream into this node."""
        return self._calls.get(digest)

    def receive(self, message: bytes, now: float) -> None:
        """Take a batch of news. Raises BusFormatError."""
        batch, at = batches.unpack_batch(message)
        for entry, whole in batches.entries(message, at):
            self._take(entry, whole, batch, now)

    def remove(self, digest: bytes, number: int) -> bool:
        """Remove the call if it still has this stream. Returns whether it had."""
        call = self._calls.get(digest)
        if call is None or call.number != number:
            return False
        del self._calls[digest]
        self.changed.add(digest)
        return True

    def remove_unconfirmed(self, now: float) -> None:
        """Remove the calls that no ingest process has confirmed for FORGET_AFTER_S."""
        for call in [call for call in self if now - call.confirmed_at > self.FORGET_AFTER_S]:
            self.remove(call.digest, call.number)

    def _take(self, entry: batches.Entry, whole: bytes, batch: batches.Batch, now: float) -> None:
        if entry.kind == batches.START:
            self._start(entry, whole, batch, now)
        elif entry.kind in batches.ENDS:
            self.remove(entry.call, entry.stream)
        elif entry.kind == batches.LIVE:
            self._confirm(entry.payload, batch, now)
        elif entry.kind == batches.FLOOR:
            call = self._calls.get(entry.call)
            if call is not None and call.number == entry.stream:
                call.floor = whole

    def _start(self, entry: batches.Entry, whole: bytes, batch: batches.Batch, now: float) -> None:
        before = self._calls.get(entry.call)
        if before is not None and before.number > entry.stream:
            return
        owner = (batch.ingest, batch.slot)
        floor = before.floor if before is not None and before.number == entry.stream else b""
        self._calls[entry.call] = LocalCall(entry.call, entry.stream, owner, batch.epoch, whole, now, floor)
        if before is None or before.number != entry.stream:
            self.changed.add(entry.call)

    def _confirm(self, numbers: bytes, batch: batches.Batch, now: float) -> None:
        live = {int.from_bytes(numbers[at : at + 8], "little") for at in range(0, len(numbers), 8)}
        for call in self._calls.values():
            if call.number in live:
                call.confirmed_at, call.owner, call.epoch = now, (batch.ingest, batch.slot), batch.epoch
