"""Tells the ingests which calls signed webhooks have announced, so that they take no stream of any other.

What is told comes from the picture of the calls, and that from the journal, so it holds over restarts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from patchbay.protocol import announced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.call_events.calls.call_state import CallState
    from patchbay.bus.sockets import BusSocket

AGAIN_S = 5.0  # all of it is told so often: a message may have been lost
SUBSCRIBED = b"\x01" + announced.TOPIC


class Announcing:
    """Args: calls: those that are live. within_s: how long after its last event a call may have its first stream."""

    def __init__(
        self, calls: Mapping[str, CallState], within_s: float, publish: Callable[[bytes], object], is_open: trio.Event
    ) -> None:
        self._calls = calls
        self._within_us = int(within_s * 1_000_000)
        self._publish = publish
        self._is_open = is_open

    def changed(self, states: Mapping[str, CallState]) -> None:
        """Events of these calls have been committed."""
        self._publish(announced.pack({call: self._until(state) for call, state in states.items()}, whole=False))

    async def listen(self, publisher: BusSocket) -> None:
        """Tell everything to whoever subscribes. For ever."""
        while True:
            if SUBSCRIBED in await publisher.receive_many():
                self._tell_all()

    async def tell(self) -> None:
        """Tell everything now and then. For ever."""
        await self._is_open.wait()
        while True:
            self._tell_all()
            await trio.sleep(AGAIN_S)

    def _tell_all(self) -> None:
        if self._is_open.is_set():  # before that, we know of none
            self._publish(announced.pack({call: self._until(state) for call, state in self._calls.items()}, whole=True))

    def _until(self, state: CallState) -> int:
        if not state.is_live or not state.phase:  # a stream alone announces nothing
            return announced.NEVER
        return announced.ALWAYS if any(state.streams) else state.last_at + self._within_us
