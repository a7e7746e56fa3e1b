"""Where events come together: each is taken once, given its place, and passed to the bus and to every client it is for.

Knows no socket: a client is something that frames are offered to.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

import orjson

from actors.wire.websocket import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.call_events.events import Event
    from actors.call_events.memory_log import MemoryLog, Replay

TOPIC = b"e"
WELCOME_TEXT = "Connected to call events WebSocket"


class Outlet(Protocol):
    """The way to one client; see `client.EventOutbox`."""

    def offer(self, frame: bytes) -> bool: ...

    def replay(self, frames: list[bytes]) -> None: ...


class Client:
    """One client's interest.

    Args:
        calls: the calls it wants, or may have; None: all, and events that are about no call.
        on_slow: called once, when the client is too far behind; it gets nothing more then.
    """

    def __init__(self, outlet: Outlet, calls: frozenset[str] | None, on_slow: Callable[[], None]) -> None:
        self.outlet = outlet
        self._calls = calls
        self._on_slow = on_slow
        self._is_slow = False

    def wants(self, call_control_id: str | None) -> bool:
        """Whether an event about that call is for this client."""
        return self._calls is None or call_control_id in self._calls

    def offer(self, frame: bytes) -> bool:
        """Pass an event on; False when this is the one that puts the client too far behind."""
        if self._is_slow or self.outlet.offer(frame):
            return True
        self._is_slow = True
        self._on_slow()
        return False


class Hub:
    """All clients and the log. Nothing here waits, so a client that joins misses nothing and gets nothing twice.

    Attributes:
        counters: `events`, `events_repeated`, `clients_slow` and `client_joins`.
    """

    def __init__(self, log: MemoryLog, publish: Callable[[bytes], object]) -> None:
        self._log = log
        self._publish = publish
        self.clients: set[Client] = set()
        self.counters: Counter[str] = Counter()

    async def record(self, event: Event) -> bool:
        """Take an event for good and pass it on; False when its id is known."""
        entry = self._log.append(event)
        if entry is None:
            self.counters["events_repeated"] += 1
            return False
        self.counters["events"] += 1
        self._publish(TOPIC + entry.text)
        frame = text_frame(entry.text)
        for client in self.clients:
            if client.wants(entry.call_control_id) and not client.offer(frame):
                self.counters["clients_slow"] += 1
        return True

    def join(self, client: Client, *, welcome: bool, since: int | None) -> None:
        """Let a client in: first the welcome, then what it missed since an offset, from then on every event."""
        replay = None if since is None else self._log.since(since)
        frames = [text_frame(self._welcome(replay))] if welcome else []
        if replay is not None:
            frames += [text_frame(entry.text) for entry in replay.entries if client.wants(entry.call_control_id)]
        client.outlet.replay(frames)
        self.clients.add(client)
        self.counters["client_joins"] += 1

    def leave(self, client: Client) -> None:
        """Let a client go; harmless when it has gone."""
        self.clients.discard(client)

    def gauges(self) -> dict[str, int]:
        """How much there is of what is kept, now."""
        return {**self._log.statistics(), "clients": len(self.clients)}

    def _welcome(self, replay: Replay | None) -> bytes:
        """The wire contract's welcome; who asks with `since` also learns whether it has missed nothing."""
        welcome: dict[str, object] = {"type": "welcome", "message": WELCOME_TEXT}
        if replay is not None:
            place = {"offset": self._log.last_offset, "epoch": self._log.epoch}
            welcome |= {"recovered": replay.complete, **place}
        return orjson.dumps(welcome)
