"""Counts the bytes that are held for unfinished peers: bodies that still come, answers that are not read yet. Pure.

Whoever means well sends and reads in one go. So where there is no more room, the one that takes the longest is ended,
and those that come are served.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Item:
    """Holds how many bytes are held for one peer.

    Attributes:
        size: in bytes.
        was_ended: it had to go, for others.
    """

    __slots__ = ("_end", "size", "was_ended")

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end
        self.size = 0
        self.was_ended = False

    def end(self) -> None:
        """End the task of its peer."""
        self.was_ended = True
        self._end()


class InFlight:
    """Holds the items of one kind.

    Args:
        max_bytes: that may be held at once.

    Attributes:
        held_bytes: now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._unfinished: OrderedDict[Item, None] = OrderedDict()  # the oldest first
        self.held_bytes = 0

    def begin(self, end: Callable[[], object]) -> Item:
        """Return a new item, which holds nothing yet; `end` is called when it has to go."""
        item = Item(end)
        self._unfinished[item] = None
        return item

    def grow(self, item: Item, size: int) -> bool:
        """Hold more bytes of an item; False where it has to go itself. One that is alone may be as large as it is."""
        if item.was_ended:
            return False
        item.size += size
        self.held_bytes += size
        while self._max_bytes < self.held_bytes > item.size:
            oldest = next(iter(self._unfinished), item)
            self._end(oldest)
            if oldest is item:
                return False
        return True

    def settle(self, item: Item) -> None:
        """Keep an item until it is finished: its peer has done its part."""
        self._unfinished.pop(item, None)

    def finish(self, item: Item) -> None:
        """Remove an item."""
        self.settle(item)
        self.held_bytes -= item.size
        item.size = 0

    def _end(self, item: Item) -> None:
        self.finish(item)
        item.end()
