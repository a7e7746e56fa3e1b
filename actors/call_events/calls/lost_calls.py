"""Finds calls without a sign of life, and records the event `call.lost` for each.

Signs of life are events of the call, and the statistics of ingest processes, which name the calls that they carry. A
lost call with a new sign of life is live again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import trio

from actors.call_events.internal_events import own_event
from actors.call_events.journal.interface import Unavailable
from patchbay.protocol.batches import STATS_TOPIC
from patchbay.protocol.events import CALL_LOST
from patchbay.protocol.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.call_events.calls.call_state import CallState
    from actors.call_events.events import Arrival
    from actors.call_events.journal.interface import Record

INTERVAL_S = 5.0
FIRST_CHECK_S = 30.0  # after which all ingest processes have published their calls


class BusSubscriber(Protocol):
    """Receives from the bus, as `bus.subscriber("ingest", "pub", b"s")` does."""

    async def receive_many(self, limit: int = 64) -> list[bytes]: ...


class LostCalls:
    """Watches the live calls. Times are µs since 1970 where no unit is named."""

    def __init__(self, calls: Mapping[str, CallState], record: Record, lost_after_s: float) -> None:
        self._calls = calls
        self._record = record
        self._lost_after_us = int(lost_after_s * 1_000_000)
        self._seen: dict[str, int] = {}

    async def listen(self, subscriber: BusSubscriber) -> None:
        """Receive the statistics of ingest processes until cancelled."""
        while True:
            for frame in await subscriber.receive_many():
                self.receive(frame[len(STATS_TOPIC) :], time.time_ns() // 1000)

    async def watch(self) -> None:
        """Record lost calls until cancelled."""
        await trio.sleep(min(FIRST_CHECK_S, self._lost_after_us / 1e6))
        while True:
            lost = self.lost(time.time_ns() // 1000)
            if lost:
                try:
                    await self._record(lost)
                except Unavailable:
                    lost.clear()  # the next check finds them again
            await trio.sleep(INTERVAL_S)

    def receive(self, stats: bytes, now: int) -> None:
        """Take the statistics of an ingest process: its calls are alive."""
        for call in _calls_of(stats):
            if call in self._calls:
                self._seen[call] = now

    def lost(self, now: int) -> list[Arrival]:
        """Return an event for each call that is lost now."""
        self._seen = {call: seen for call, seen in self._seen.items() if call in self._calls}
        return [self._event(state, now) for state in self._calls.values() if self._is_lost(state, now)]

    def _is_lost(self, state: CallState, now: int) -> bool:
        last = max(state.last_at, self._seen.get(state.call_control_id, 0))
        return now - last > self._lost_after_us

    def _event(self, state: CallState, now: int) -> Arrival:
        call = state.call_control_id
        payload = {"call_control_id": call, "last_event_at": timestamp(state.last_at)}
        # Our clock may be behind: the loss must not be older than the call's last event.
        when = max(now, state.last_at)
        return own_event(CALL_LOST, payload, name=f"{CALL_LOST} {call} {state.last_at}", occurred_at=when, now=now)


class _Call(msgspec.Struct):
    call_control_id: Any = None


class _Stats(msgspec.Struct):
    calls: list[_Call] = []


_decode = msgspec.json.Decoder(_Stats).decode


def _calls_of(stats: bytes) -> list[str]:
    try:
        named = [call.call_control_id for call in _decode(stats).calls]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    return [call for call in named if isinstance(call, str)]
