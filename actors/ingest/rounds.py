"""Who wants to hear what, and the batches that go there: one message a round for each fan-out process.

Interest is what fan-outs subscribe to on our XPUB, so it heals by itself when either side restarts. A call nobody
wants has no sinks, and costs neither packing nor sending. Knows entries, not what is in them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from actors.wire import bus as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.runtime.bus import BusSocket
    from actors.runtime.identity import Identity

Sink = list[bytes]  # what one fan-out gets at the end of the round: headers and payloads, in order


class Rounds:
    """Gathers entries for fan-outs and sends them at the end of each round.

    Args:
        on_fanout: a fan-out has come (perhaps again): tell it about every call.
        on_interest: the sinks of this call (EVERY_CALL: of all) have changed.
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
        self._sequences: dict[int, int] = {}
        self._interest: dict[bytes, set[int]] = {}
        self.batches = 0

    def sinks_of(self, call: bytes) -> tuple[Sink, ...]:
        """Where this call's audio goes. Valid until `on_interest` says otherwise."""
        wanted = self._interest.get(call, set()) | self._interest.get(wire.EVERY_CALL, set())
        return tuple(self._sinks[index] for index in sorted(wanted) if index in self._sinks)

    def everywhere(self) -> Iterable[Sink]:
        """All fan-outs: news of calls goes to each, whoever listens there."""
        return self._sinks.values()

    def sink(self, fanout_index: int) -> Sink | None:
        """One fan-out."""
        return self._sinks.get(fanout_index)

    def subscription(self, message: bytes) -> None:
        """Take in what the XPUB received."""
        change = wire.parse_subscription(message)
        if change is None:
            return
        if change.call is None:
            self._fanout(change.fanout_index, present=change.wanted)
            return
        wanted = self._interest.setdefault(change.call, set())
        (wanted.add if change.wanted else wanted.discard)(change.fanout_index)
        if not wanted:
            del self._interest[change.call]
        self._on_interest(change.call)

    def flush(self) -> None:
        """Send what the round has gathered."""
        for index, sink in self._sinks.items():
            if sink:
                self._send(index, sink)

    def _send(self, index: int, sink: Sink) -> None:
        who = self._identity
        sequence = self._sequences[index] = self._sequences.get(index, 0) + 1
        header = wire.Batch(who.index, who.slot, who.epoch, sequence, time.monotonic_ns() // 1000)
        self._publisher.send_nowait(wire.pack_batch(index, header, sink))
        self.batches += 1
        sink.clear()

    def _fanout(self, index: int, *, present: bool) -> None:
        if present:
            self._sinks.setdefault(index, [])
            self._on_fanout(index)
        else:
            self._sinks.pop(index, None)
        self._on_interest(wire.EVERY_CALL)
