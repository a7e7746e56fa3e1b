"""Records what happens to the actors: keeps it for `explain`, logs it, and passes it to followers. Knows no process."""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

logger = logging.getLogger(__name__)

ENTRIES_MAX = 1000  # in ordinary operation those of days, in a crash loop those of minutes
FOLLOWER_BACKLOG = 500  # entries that wait for a follower; it misses those that come then


@dataclass(frozen=True)
class Entry:
    """Is a transition of one process, or (`before` equals `after`) a remark on it."""

    at: float  # seconds since 1970
    actor: str  # "fanout.1", or "supervisor"
    generation: int
    pid: int | None
    before: str
    after: str
    why: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class History:
    """Keeps the last entries, and lets tasks wait for the next."""

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)
        self._followers: set[trio.MemorySendChannel[Entry]] = set()
        self._changed = trio.Event()
        self.missed_by_followers = 0

    def record(
        self,
        actor: str,
        why: str,
        *,
        generation: int = 0,
        pid: int | None = None,
        before: str = "",
        after: str = "",
        level: int = logging.INFO,
    ) -> None:
        """Keep an entry, log it (at least at this level) and pass it to the followers. Never blocks."""
        entry = Entry(self._wall(), actor, generation, pid, before, after, why)
        self._entries.append(entry)
        if after in ("BACKOFF", "FAILED"):
            level = max(level, logging.WARNING)
        if before != after:
            logger.log(level, "%s %s → %s: %s", actor, before, after, why)
        else:
            logger.log(level, "%s: %s", actor, why)
        for follower in self._followers:
            try:
                follower.send_nowait(entry)
            except trio.WouldBlock:
                self.missed_by_followers += 1
        self._changed.set()
        self._changed = trio.Event()

    def restore(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Add the entries that the program before this one had kept."""
        self._entries.extend(Entry(**entry) for entry in entries)

    def last(self, actor: str | None = None, limit: int = 20) -> list[Entry]:
        """Return the last entries, oldest first; of one actor if it is named."""
        found = [entry for entry in self._entries if actor in (None, entry.actor)]
        return found[max(0, len(found) - limit) :]

    async def wait_changed(self) -> None:
        """Wait until an entry is recorded. Cancelling is safe."""
        await self._changed.wait()

    @contextmanager
    def follow(self) -> Iterator[trio.MemoryReceiveChannel[Entry]]:
        """Open a channel of the entries that are recorded from now on. A follower that does not read misses entries."""
        send, receive = trio.open_memory_channel[Entry](FOLLOWER_BACKLOG)
        self._followers.add(send)
        try:
            with send, receive:
                yield receive
        finally:
            self._followers.discard(send)
