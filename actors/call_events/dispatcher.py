"""Passes committed events to clients, and keeps the newest events and the live calls.

Knows neither sockets nor the journal: a client is an object with a method `pull`.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import orjson
import trio

from actors.call_events.calls.call_state import CallState, view
from actors.call_events.clients.recent_events import RecentEvents
from patchbay.process.periodic import next_tick
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.call_events.entry import Interest
    from actors.call_events.journal.interface import Commit, Opened
    from config.settings import EventSettings

logger = logging.getLogger(__name__)

WELCOME_TEXT = "Connected to call events WebSocket"
AT_ONCE = 100  # clients that pull before other tasks run
PAUSE_MAX_S = 0.1


class Client(Protocol):
    """Pulls events from the dispatcher, as `client.EventClient` does."""

    cursor: int
    written: int
    behind: bool

    def pull(self) -> None: ...

    def switch_journal(self, epoch: str, offset: int) -> None: ...

    def evict(self, reason: str) -> None: ...


class Dispatcher:
    """Holds the clients, the newest events and the live calls.

    Attributes:
        counters: `events`, `rounds`, `clients_slow`, `client_joins`.
    """

    def __init__(self, settings: EventSettings) -> None:
        self.tail = RecentEvents(max_events=settings.kept, max_bytes=settings.kept_max_bytes)
        self.calls: dict[str, CallState] = {}
        self.epoch = ""
        self.clients: set[Client] = set()
        self.counters: Counter[str] = Counter()
        self._stall_s = settings.stall_s
        self._new_events = trio.Event()
        self.on_states: Callable[[Mapping[str, CallState]], object] = lambda states: None  # of calls that have changed

    def opened(self, journal: Opened) -> None:
        """Use a journal that was just opened: the first one, or its replacement."""
        if journal.epoch == self.epoch:
            self.tail.extend([entry for entry in journal.entries if entry.offset > self.tail.last])
        else:
            current = [client for client in self.clients if client.cursor == self.tail.last]
            self.tail.reset(journal.last - len(journal.entries))
            self.tail.extend(journal.entries)
            self.epoch = journal.epoch
            for client in current:
                client.switch_journal(journal.epoch, journal.last)
        self.calls.clear()
        self.calls.update(journal.calls)
        self._new_events.set()

    def committed(self, commit: Commit) -> None:
        """Pass on events that were just committed."""
        self.tail.extend(commit.entries)
        for call, state in commit.states.items():
            if state.is_live:
                self.calls[call] = state
            else:
                self.calls.pop(call, None)
        self.counters["events"] += len(commit.entries)
        self.on_states(commit.states)
        self._new_events.set()

    def welcome(self, interest: Interest, *, resume: bool, recovered: bool | None, snapshot: bool) -> bytes:
        """Return the first frames for a client: the contract's welcome, and on request its position and the live
        calls.

        Args:
            recovered: no event is missing after the client's `since`.
        """
        welcome: dict[str, object] = {"type": "welcome", "message": WELCOME_TEXT}
        position: dict[str, object] = {"offset": self.tail.last, "epoch": self.epoch}
        if resume:
            welcome |= {"recovered": recovered}
        if resume or snapshot:
            welcome |= position
        words = text_frame(orjson.dumps(welcome))
        if resume or snapshot:
            wanted = (state for call, state in self.calls.items() if interest.calls is None or call in interest.calls)
            words += text_frame(
                orjson.dumps({"type": "snapshot", "calls": [view(state) for state in wanted], **position})
            )
        return words

    def join(self, client: Client) -> None:
        """Add a client. Its `pull` is called whenever there are new events."""
        self.clients.add(client)
        self.counters["client_joins"] += 1

    def leave(self, client: Client) -> None:
        """Remove a client. Harmless when repeated."""
        self.clients.discard(client)

    async def deliver(self) -> None:
        """Have all clients pull new events, until cancelled.

        At most half of the time is spent so: many clients get more events in one piece, and webhooks wait less.
        """
        while True:
            await self._new_events.wait()
            self._new_events = trio.Event()
            began = trio.current_time()
            for number, client in enumerate(list(self.clients), start=1):
                client.pull()
                if number % AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
            self.counters["rounds"] += 1
            await trio.sleep(min(trio.current_time() - began, PAUSE_MAX_S))

    async def watch_progress(self) -> None:
        """Evict clients that are behind and read nothing for `events.stall_s`, until cancelled."""
        stuck: dict[Client, tuple[int, float]] = {}
        while True:
            await next_tick()
            now = trio.current_time()
            before, stuck = stuck, {}
            for client in [client for client in self.clients if client.behind]:
                written, since = before.get(client, (client.written, now))
                stuck[client] = (written, since) if written == client.written else (client.written, now)
                if now - stuck[client][1] >= self._stall_s:
                    self.counters["clients_slow"] += 1
                    client.evict(f"nothing read for {self._stall_s:g} s; come back with since=<offset of the last one>")

    def gauges(self) -> dict[str, int]:
        """Return the numbers of events, bytes, clients and calls."""
        return {**self.tail.statistics(), "clients": len(self.clients), "calls": len(self.calls)}
