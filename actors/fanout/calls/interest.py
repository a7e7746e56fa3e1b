"""What this fan-out process wants to hear of: topics on the bus, each counted by how many listeners want it.

A topic is a call, or every call. Knows neither calls nor listeners.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from patchbay.protocol.batches import interest_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


class Interest:
    """Kept in step with the bus.

    Args:
        subscribe, unsubscribe: change this process's interest there.
    """

    def __init__(
        self, fanout_index: int, subscribe: Callable[[bytes], None], unsubscribe: Callable[[bytes], None]
    ) -> None:
        self._index = fanout_index
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._wanted: Counter[bytes] = Counter()
        self._fading: dict[bytes, None] = {}  # given up since `fade` was called last
        self._faded: dict[bytes, None] = {}  # and before that
        self._acknowledged: dict[bytes, set[int]] = {}  # by topic: the ingest processes that know

    def count(self, topic: bytes) -> int:
        """How many want this to come."""
        return self._wanted[topic]

    def add(self, topic: bytes) -> None:
        """One more wants it."""
        self._wanted[topic] += 1
        if self._wanted[topic] == 1 and not self._stays(topic):
            self._acknowledged[topic] = set()
            self._subscribe(interest_topic(self._index, topic))

    def remove(self, topic: bytes) -> None:
        """One less does. The bus is told a little later, when nobody has come back (`fade`)."""
        self._wanted[topic] -= 1
        if not self._wanted[topic]:
            del self._wanted[topic]
            self._fading[topic] = None

    def fade(self) -> None:
        """Let go of what nobody has wanted since this was called last. To be called now and then."""
        for topic in self._faded:
            del self._acknowledged[topic]
            self._unsubscribe(interest_topic(self._index, topic))
        self._faded, self._fading = self._fading, {}

    def _stays(self, topic: bytes) -> bool:
        """Take a topic back that was given up a moment ago. False when it was not."""
        found = topic in self._fading or topic in self._faded
        self._fading.pop(topic, None)
        self._faded.pop(topic, None)
        return found

    def lend(self, others: Iterable[int]) -> None:
        """Have other fan-out processes be sent all that is wanted here, as long as this process lives."""
        for topic in self._wanted:
            for index in others:
                self._subscribe(interest_topic(index, topic))

    def acknowledge(self, topic: bytes, ingest_index: int) -> None:
        """That ingest process has learned of it."""
        if topic in self._acknowledged:
            self._acknowledged[topic].add(ingest_index)

    def is_acknowledged(self, topics: Collection[bytes], processes: int) -> bool:
        """Whether so many ingest processes know of all these."""
        return all(len(self._acknowledged.get(topic, ())) >= processes for topic in topics)
