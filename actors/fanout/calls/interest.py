"""Keeps this process's topics on the bus: each topic is counted by the number of subscribers that need it. Pure.

A topic is a call's digest, or `EVERY_CALL`. A topic that nobody needs is unsubscribed from a little later: users often
come back.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from patchbay.protocol.batches import interest_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


class Interest:
    """Counts topics.

    Args:
        subscribe, unsubscribe: change this process's topics on the bus.
    """

    def __init__(
        self, fanout_index: int, subscribe: Callable[[bytes], None], unsubscribe: Callable[[bytes], None]
    ) -> None:
        self._index = fanout_index
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._wanted: Counter[bytes] = Counter()
        self._unused: dict[bytes, None] = {}  # not needed any more, since the last call of `unsubscribe_unused`
        self._long_unused: dict[bytes, None] = {}  # likewise, before the last call
        self._acknowledged: dict[bytes, set[int]] = {}  # by topic: the ingest processes that know the topic

    def count(self, topic: bytes) -> int:
        """Return the number of subscribers that need a topic."""
        return self._wanted[topic]

    def add(self, topic: bytes) -> None:
        """Count one more subscriber of a topic."""
        self._wanted[topic] += 1
        if self._wanted[topic] == 1 and not self._is_kept(topic):
            self._acknowledged[topic] = set()
            self._subscribe(interest_topic(self._index, topic))

    def remove(self, topic: bytes) -> None:
        """Count one subscriber of a topic less."""
        self._wanted[topic] -= 1
        if not self._wanted[topic]:
            del self._wanted[topic]
            self._unused[topic] = None

    def unsubscribe_unused(self) -> None:
        """Unsubscribe from topics that nobody has needed since the last call of this method. To be called every
        second."""
        for topic in self._long_unused:
            del self._acknowledged[topic]
            self._unsubscribe(interest_topic(self._index, topic))
        self._long_unused, self._unused = self._unused, {}

    def _is_kept(self, topic: bytes) -> bool:
        """Return whether a topic is subscribed to still, though nobody needed it; it is kept then."""
        found = topic in self._unused or topic in self._long_unused
        self._unused.pop(topic, None)
        self._long_unused.pop(topic, None)
        return found

    def share(self, others: Iterable[int]) -> None:
        """Have ingest send all topics of this process to other fan-out processes too, as long as this process lives."""
        for topic in self._wanted:
            for index in others:
                self._subscribe(interest_topic(index, topic))

    def acknowledge(self, topic: bytes, ingest_index: int) -> None:
        """Note that an ingest process knows a topic."""
        if topic in self._acknowledged:
            self._acknowledged[topic].add(ingest_index)

    def is_acknowledged(self, topics: Collection[bytes], processes: int) -> bool:
        """Return whether so many ingest processes know all these topics."""
        return all(len(self._acknowledged.get(topic, ())) >= processes for topic in topics)
