"""Sends events of listening and talking to call events, for the journal: which connection, which call, when.

Each fan-out process reports its own connections only. A connection that another process goes on with has neither left
nor joined. Repeated changes are folded: for the changes of one connection and one call within a second of its leaving,
at most one pair of events is sent, with the number of changes that it stands for.
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

    from actors.fanout.calls.subscriber import LiveCall, Participant
    from patchbay.bus.event_sender import EventSender

FOLD_S: Final = 1.0  # after a connection has left
LISTENING: Final = (LISTENER_JOINED, LISTENER_LEFT)
TALKING: Final = (FLOOR_TAKEN, FLOOR_RELEASED)

Pair = tuple[str, str]  # event types of a beginning and an end
Key = tuple[Pair, bytes, str]  # pair, digest of the call, number of the connection


@dataclass
class _Held:
    """Changes since a connection left, which are not reported yet. `begun`, `ended`: payload and time of the last
    change."""

    until: float
    begun: tuple[dict[str, Any], str] | None = None
    ended: tuple[dict[str, Any], str] | None = None
    balance: int = 0  # beginnings less ends
    changes: int = 0


class Audit:
    """Sends the events.

    Args:
        of_number: returns the connection with a number; None: it is not open in this process.
        clock: monotonic seconds.

    Attributes:
        folded: number of changes without an event of their own.
    """

    def __init__(
        self,
        events: EventSender,
        of_number: Callable[[int], Participant | None],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._events = events
        self._of_number = of_number
        self._clock = clock
        # By the call's digest: the connection of this process that has the floor.
        self._holders: dict[bytes, dict[str, Any]] = {}
        self._held: dict[Key, _Held] = {}
        self.folded = 0

    def on_joined(self, listener: Participant, call: LiveCall) -> None:
        """Report that a connection listens to a call, unless its previous process has reported that."""
        if not listener.knows_stream(call.number):
            self._on_begin(LISTENING, call, {**_identity(listener), "track": listener.track})

    def on_left(self, listener: Participant, call: LiveCall) -> None:
        """Report that a connection listens to a call no more, because either has ended."""
        if not listener.handed.is_transferred:
            self._on_end(LISTENING, call, _identity(listener))

    def on_floor_changed(self, call: LiveCall, talker: int | None, *, known: bool = False) -> None:
        """Report a new holder of a call's floor, if the one before or the new one is a connection of this process.

        Args:
            talker: number of the connection that has the floor; None: nobody has.
            known: the previous process has reported the new holder.
        """
        holder = self._holders.get(call.digest)
        name = None if talker is None else str(talker)
        if holder is not None and holder["talker"] != name:
            del self._holders[call.digest]
            self._on_end(TALKING, call, holder)
        listener = None if talker is None else self._of_number(talker)
        if listener is not None and call.digest not in self._holders:
            self._holders[call.digest] = taken = {**_identity(listener), "talker": name}
            if not known:
                self._on_begin(TALKING, call, taken)

    def tick(self) -> None:
        """Send events for changes that were held for `FOLD_S`. To be called every second."""
        now = self._clock()
        for key, held in list(self._held.items()):
            if held.until <= now:
                del self._held[key]
                if self._settle(key[0], held):
                    self._held[key] = _Held(now + FOLD_S)

    def flush(self) -> None:
        """Send events for all changes that are held: this process ends."""
        for (pair, _, _), held in self._held.items():
            self._settle(pair, held)
        self._held.clear()

    def _on_begin(self, pair: Pair, call: LiveCall, who: dict[str, Any]) -> None:
        payload = {**_about(call), **who}
        if (held := self._held.get((pair, call.digest, who["connection"]))) is not None:
            held.begun = payload, timestamp(time.time_ns() // 1000)
            held.balance += 1
            held.changes += 1
        else:
            self._events.send_nowait(pair[0], payload)

    def _on_end(self, pair: Pair, call: LiveCall, who: dict[str, Any]) -> None:
        payload, key = {**_about(call), **who}, (pair, call.digest, who["connection"])
        if (held := self._held.get(key)) is not None:
            held.ended = payload, timestamp(time.time_ns() // 1000)
            held.balance -= 1
            held.changes += 1
        else:
            self._events.send_nowait(pair[1], payload)
            self._held[key] = _Held(self._clock() + FOLD_S)

    def _settle(self, pair: Pair, held: _Held) -> bool:
        """Send the events that changes amount to. False: there was no change."""
        folded = held.changes - max(abs(held.balance), 2 if held.changes and not held.balance else 0)
        self.folded += folded
        more = {"folded": folded} if folded else {}
        if held.begun is not None and held.balance >= 0:
            for _ in range(max(held.balance, 1)):
                self._send(pair[0], held.begun, more)
        if held.ended is not None and held.balance <= 0:
            for _ in range(max(-held.balance, 1)):
                self._send(pair[1], held.ended, more)
        return held.changes > 0

    def _send(self, event_type: str, event: tuple[dict[str, Any], str], more: dict[str, int]) -> None:
        payload, when = event
        self._events.send_nowait(event_type, {**payload, **more}, when)


def _about(call: LiveCall) -> dict[str, Any]:
    return {"call_control_id": call.call_control_id, "stream_id": call.start.stream_id}


def _identity(listener: Participant) -> dict[str, Any]:
    handed = listener.handed
    sub = None if handed.claims is None else handed.claims.get("sub")
    return {"connection": str(listener.number), "peer": handed.peer, "sub": sub}
