"""Announces to ingest which calls have signed webhooks, so that it accepts no stream of any other call.

Announcements are made of the states of calls, which are in the journal, so they survive restarts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from patchbay.protocol import announced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.call_events.calls.call_state import CallState
    from patchbay.bus.sockets import BusSocket

REPEAT_S = 5.0  # between announcements of all calls, since messages may be lost
SUBSCRIBED = b"\x01" + announced.TOPIC


class Announcer:
    """Publishes announcements.

    Args:
        calls: the live calls.
        within_s: how long after its last event a call may get its first stream.
        is_open: set when the journal was opened: before, no calls are known.
    """

    def __init__(
        self, calls: Mapping[str, CallState], within_s: float, publish: Callable[[bytes], object], is_open: trio.Event
    ) -> None:
        self._calls = calls
        self._within_us = int(within_s * 1_000_000)
        self._publish = publish
        self._is_open = is_open

    def announce(self, states: Mapping[str, CallState]) -> None:
        """Announce calls whose states have changed."""
        self._publish(announced.pack({call: self._until(state) for call, state in states.items()}, whole=False))

    async def answer_subscribers(self, publisher: BusSocket) -> None:
        """Announce all calls when a subscriber connects, until cancelled."""
        while True:
            if SUBSCRIBED in await publisher.receive_many():
                self._announce_all()

    async def repeat(self) -> None:
        """Announce all calls every REPEAT_S, until cancelled."""
        await self._is_open.wait()
        while True:
            self._announce_all()
            await trio.sleep(REPEAT_S)

    def _announce_all(self) -> None:
        if self._is_open.is_set():
            self._publish(announced.pack({call: self._until(state) for call, state in self._calls.items()}, whole=True))

    def _until(self, state: CallState) -> int:
        if not state.is_live or not state.phase:  # only webhooks announce a call
            return announced.NEVER
        return announced.ALWAYS if any(state.streams) else state.last_at + self._within_us
