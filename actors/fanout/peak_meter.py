"""Who watches how loud which call is: measured once for all who want it, told twice a second."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from actors.fanout.peaks import STEP_MS, PeakEncoder, step_of
from patchbay.protocol import batches
from patchbay.protocol.batches import TRACKS
from patchbay.protocol.v1 import control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.fanout.calls.call import Call
    from actors.fanout.calls.call_audio import CallAudio
    from actors.fanout.calls.encodings import GroupKey
    from actors.fanout.calls.registry import Calls
    from patchbay.protocol.batches import EndReason
    from patchbay.websocket.send_queue import SendQueue

LOOKED_BACK_MAX = 10  # steps


class Watch:
    """A `Subscriber` that is nobody: it has the audio of one call come here, and be measured."""

    person = None
    names_calls = True
    is_single = False

    def __init__(self, digest: bytes) -> None:
        self._digest = digest
        self.key: GroupKey = ("peaks", "both")
        self.calls: set[Call] = set()
        self.candidates = self.calls
        self.send_queue: SendQueue | None = None
        self.write: Callable[[bytes], None] = lambda frame: None  # it makes no frames
        self.write_replay: Callable[[bytes], None] = lambda frame: None

    def wants(self, call: Call) -> bool:
        return call.digest == self._digest

    def digests(self) -> list[bytes]:
        return [self._digest]

    def topics(self) -> list[bytes]:
        return [self._digest]

    def heard_before(self, stream: int) -> list[int]:
        """Everything: the replay buffer before do not count."""
        del stream
        return [batches.NO_NUMBER, batches.NO_NUMBER]

    def begins(self, call: Call) -> None: ...

    def ends(self, call: Call, reason: EndReason, frame: bytes) -> None: ...

    def begun(self) -> list[int]:
        return []

    def ended_meanwhile(self, stream: int, reason: EndReason, frame: bytes) -> None: ...

    def errs(self, call: Call, frame: bytes) -> None: ...

    def floor_changed(self, call: Call) -> None: ...

    def unheard(self, call: CallAudio) -> None: ...


class PeakMeter:
    """The watches of one process."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._watchers: Counter[str] = Counter()
        self._watches: dict[str, Watch] = {}
        self._told_up_to = 0

    def watch(self, call_control_id: str, now: float) -> None:
        """One more wants the peaks of a call."""
        self._watchers[call_control_id] += 1
        if call_control_id not in self._watches:
            watch = self._watches[call_control_id] = Watch(batches.digest(call_control_id))
            self._calls.add(watch, now)

    def unwatch(self, call_control_id: str) -> None:
        """One fewer."""
        self._watchers[call_control_id] -= 1
        if not self._watchers[call_control_id]:
            del self._watchers[call_control_id]
            self._calls.remove(self._watches.pop(call_control_id))

    def measure(self, now: float) -> dict[str, bytes]:
        """By call, what is told of the steps since the last time, as JSON; nothing of calls where all was silent."""
        end = step_of(now)
        first = max(self._told_up_to, end - LOOKED_BACK_MAX)
        self._told_up_to = end
        found = {}
        for call_control_id, watch in self._watches.items():
            for call in watch.calls:
                encoder = call.encoder(watch.key)
                peaks = encoder.peaks(first, end) if isinstance(encoder, PeakEncoder) else []
                told = {track: steps for track, steps in zip(TRACKS, peaks, strict=False) if steps}
                if told:
                    found[call_control_id] = control.encode({"call_control_id": call_control_id, **told})
        return found


def peaks_message(parts: Iterable[bytes]) -> bytes:
    """The message for one client, of what is told of its calls."""
    return b'{"type":"peaks","step_ms":%d,"calls":[%b]}' % (STEP_MS, b",".join(parts))
