"""Measures the peaks of calls, once for all clients that subscribe to them; clients are sent the peaks twice a
second."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from actors.fanout.peaks import STEP_MS, PeakEncoder, step_of
from patchbay.protocol import batches
from patchbay.protocol.batches import TRACKS
from patchbay.protocol.v1 import control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.fanout.calls.registry import Calls
    from actors.fanout.calls.subscriber import EncodingKey, LiveCall
    from patchbay.protocol.batches import EndReason
    from patchbay.websocket.send_queue import SendQueue

LOOKED_BACK_MAX = 10  # steps


class PeakSubscriber:
    """A `Subscriber` to one call that no user is behind: the call's audio is measured, and not sent."""

    participant = None
    names_calls = True
    is_single = False

    def __init__(self, digest: bytes) -> None:
        self._digest = digest
        self.key: EncodingKey = ("peaks", "both")
        self.calls: set[LiveCall] = set()
        self.candidates = self.calls
        self.send_queue: SendQueue | None = None
        self.write: Callable[[bytes], None] = lambda frame: None  # it makes no frames
        self.write_replay: Callable[[bytes], None] = lambda frame: None

    def wants(self, call: LiveCall) -> bool:
        return call.digest == self._digest

    def digests(self) -> list[bytes]:
        return [self._digest]

    def topics(self) -> list[bytes]:
        return [self._digest]

    def delivered_before(self, stream: int) -> list[int]:
        """Return positions behind all frames: the replay buffer is not measured."""
        del stream
        return [batches.NO_NUMBER, batches.NO_NUMBER]

    def on_started(self, call: LiveCall) -> None: ...

    def on_stopped(self, call: LiveCall, reason: EndReason, frame: bytes) -> None: ...

    def started_streams(self) -> list[int]:
        return []

    def on_stopped_before(self, stream: int, reason: EndReason, frame: bytes) -> None: ...

    def on_error(self, call: LiveCall, frame: bytes) -> None: ...

    def on_floor_changed(self, call: LiveCall) -> None: ...

    def on_unavailable(self, encoding: str) -> None: ...


class PeakMeter:
    """The peak subscribers of one process, by call."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._clients: Counter[str] = Counter()
        self._subscribers: dict[str, PeakSubscriber] = {}
        self._measured_up_to = 0

    def watch(self, call_control_id: str, now: float) -> None:
        """Count one client of a call more."""
        self._clients[call_control_id] += 1
        if call_control_id not in self._subscribers:
            watch = self._subscribers[call_control_id] = PeakSubscriber(batches.digest(call_control_id))
            self._calls.add(watch, now)

    def unwatch(self, call_control_id: str) -> None:
        """Count one client of a call less."""
        self._clients[call_control_id] -= 1
        if not self._clients[call_control_id]:
            del self._clients[call_control_id]
            self._calls.remove(self._subscribers.pop(call_control_id))

    def measure(self, now: float) -> dict[str, bytes]:
        """Return, by call, the peaks of the steps since the last time, as JSON; calls without a sound are left out."""
        end = step_of(now)
        first = max(self._measured_up_to, end - LOOKED_BACK_MAX)
        self._measured_up_to = end
        found = {}
        for call_control_id, watch in self._subscribers.items():
            for call in watch.calls:
                encoder = call.encoder(watch.key)
                peaks = encoder.peaks(first, end) if isinstance(encoder, PeakEncoder) else []
                loud = {track: steps for track, steps in zip(TRACKS, peaks, strict=False) if steps}
                if loud:
                    found[call_control_id] = control.encode({"call_control_id": call_control_id, **loud})
        return found


def peaks_message(parts: Iterable[bytes]) -> bytes:
    """Return the message for one client. `parts`: the peaks of its calls, from `measure`."""
    return b'{"type":"peaks","step_ms":%d,"calls":[%b]}' % (STEP_MS, b",".join(parts))
