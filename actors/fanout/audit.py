"""Who heard a call and who spoke into it, and when: told to call events, for the journal.

Each fan-out tells of its own connections only. A connection that another process goes on with has neither left nor
joined. Whoever joins and leaves again and again is folded: of what one connection does with one call within a second of its
leaving, at most one pair of events is told, which says how many changes it stands for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import trio

from patchbay.protocol.events import FLOOR_RELEASED, FLOOR_TAKEN, LISTENER_JOINED, LISTENER_LEFT
from patchbay.protocol.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.calls.call import Call
    from actors.fanout.calls.subscriber import Person
    from patchbay.bus.event_sender import EventSender

FOLD_S: Final = 1.0  # after somebody has left
HEARS: Final = (LISTENER_JOINED, LISTENER_LEFT)
SPEAKS: Final = (FLOOR_TAKEN, FLOOR_RELEASED)

Pair = tuple[str, str]  # types of the events of a beginning and an end
Key = tuple[Pair, bytes, str]  # of the call its digest, and the connection


@dataclass
class _Held:
    """What has happened since somebody left, and is not told yet. `begun`, `ended`: the last of each, as it will be told."""

    until: float
    begun: tuple[dict[str, Any], str] | None = None
    ended: tuple[dict[str, Any], str] | None = None
    balance: int = 0  # beginnings less ends
    changes: int = 0


class Audit:
    """Sends the events.

    Args:
        of_number: the listener with a connection's number, if it is one of this process.
        clock: monotonic seconds.

    Attributes:
        folded: changes that were not told each by itself.
    """

    def __init__(
        self,
        events: EventSender,
        of_number: Callable[[int], Person | None],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._events = events
        self._of_number = of_number
        self._clock = clock
        # By the call's digest: those of this process that have the floor.
        self._holders: dict[bytes, dict[str, Any]] = {}
        self._held: dict[Key, _Held] = {}
        self.folded = 0

    def joined(self, listener: Person, call: Call) -> None:
        """A listener begins to hear a call; nothing is told of one whose predecessor has told it."""
        if not listener.was_told(call.number):
            self._begins(HEARS, call, {**_who(listener), "track": listener.track})

    def left(self, listener: Person, call: Call) -> None:
        """A listener hears a call no more, because either has ended."""
        if not listener.handed.is_transferred:
            self._ends(HEARS, call, _who(listener))

    def floor(self, call: Call, talker: int | None, *, known: bool = False) -> None:
        """Somebody has the floor of a call now, here or elsewhere, or nobody has. `known`: a predecessor has told it."""
        holder = self._holders.get(call.digest)
        name = None if talker is None else str(talker)
        if holder is not None and holder["talker"] != name:
            del self._holders[call.digest]
            self._ends(SPEAKS, call, holder)
        listener = None if talker is None else self._of_number(talker)
        if listener is not None and call.digest not in self._holders:
            self._holders[call.digest] = taken = {**_who(listener), "talker": name}
            if not known:
                self._begins(SPEAKS, call, taken)

    def tick(self) -> None:
        """Tell what was held for long enough. To be called now and then."""
        now = self._clock()
        for key, held in list(self._held.items()):
            if held.until <= now:
                del self._held[key]
                if self._settle(key[0], held):
                    self._held[key] = _Held(now + FOLD_S)

    def flush(self) -> None:
        """Tell all that is held: this process ends."""
        for (pair, _, _), held in self._held.items():
            self._settle(pair, held)
        self._held.clear()

    def _begins(self, pair: Pair, call: Call, who: dict[str, Any]) -> None:
        payload = {**_about(call), **who}
        if (held := self._held.get((pair, call.digest, who["connection"]))) is not None:
            held.begun = payload, timestamp(time.time_ns() // 1000)
            held.balance += 1
            held.changes += 1
        else:
            self._events.send_nowait(pair[0], payload)

    def _ends(self, pair: Pair, call: Call, who: dict[str, Any]) -> None:
        payload, key = {**_about(call), **who}, (pair, call.digest, who["connection"])
        if (held := self._held.get(key)) is not None:
            held.ended = payload, timestamp(time.time_ns() // 1000)
            held.balance -= 1
            held.changes += 1
        else:
            self._events.send_nowait(pair[1], payload)
            self._held[key] = _Held(self._clock() + FOLD_S)

    def _settle(self, pair: Pair, held: _Held) -> bool:
        """Tell what it comes to. False: nothing has happened."""
        folded = held.changes - max(abs(held.balance), 2 if held.changes and not held.balance else 0)
        self.folded += folded
        more = {"folded": folded} if folded else {}
        if held.begun is not None and held.balance >= 0:
            for _ in range(max(held.balance, 1)):
                self._tell(pair[0], held.begun, more)
        if held.ended is not None and held.balance <= 0:
            for _ in range(max(-held.balance, 1)):
                self._tell(pair[1], held.ended, more)
        return held.changes > 0

    def _tell(self, event_type: str, what: tuple[dict[str, Any], str], more: dict[str, int]) -> None:
        payload, when = what
        self._events.send_nowait(event_type, {**payload, **more}, when)


def _about(call: Call) -> dict[str, Any]:
    return {"call_control_id": call.call_control_id, "stream_id": call.start.stream_id}


def _who(listener: Person) -> dict[str, Any]:
    handed = listener.handed
    sub = None if handed.claims is None else handed.claims.get("sub")
    return {"connection": str(listener.number), "peer": handed.peer, "sub": sub}
