"""Passes whole text messages from the poller's buffer to a callback: the fast path of a connection's input.

Handles one kind of frame, which nearly all are. `patchbay.websocket.frame_reader` handles all others.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from patchbay.net.turns import FEW_BYTES
from patchbay.websocket.frames import MEDIUM_HEADER_BYTES, MEDIUM_TEXT, apply_mask

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

# A longer frame is taken from the socket in parts; a crash between them ends the connection.
LONGEST_ALIGNED: Final = 32 * 1024
COUNTED_AT_ONCE: Final = 50  # frames that are spent of the rate limit at once, which is cheaper than each alone

_begin = struct.Struct(">HH4s").unpack_from  # includes the masking key: cheaper than another slice


class FastPath(ABC):
    """Handles the frames of the fast path. Its state is in slots, which lie together in memory: most of the cost of a
    frame is to fetch the state of its connection.

    Attributes:
        sock, untaken, take_soon, last_heard: see `patchbay.net.polled.Polled`.
        on_text: called with each message. It raises `UnicodeDecodeError` when the message is not UTF-8.
    """

    __slots__ = ("_bunched_at", "_on_fast_path", "_uncounted", "last_heard", "on_text", "sock", "take_soon", "untaken")

    sock: socket.socket
    untaken: int
    take_soon: bool
    last_heard: float
    on_text: Callable[[bytes], None]
    _bunched_at: float  # when several messages arrived at once; used in C only (`reading.h`)
    _on_fast_path: bool  # the next frame may take the fast path
    _uncounted: int  # frames that were not yet spent of the rate limit

    def handle(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames; see `Polled`. Messages of 126 to LONGEST_ALIGNED bytes go to `on_text` at once."""
        on_text = self.on_text  # on a line of its own: CPython reads a slot fast, but calls its value slowly
        began = at
        while self._on_fast_path and size - at > MEDIUM_HEADER_BYTES:
            begins, length, key = _begin(data, at)
            payload = at + MEDIUM_HEADER_BYTES
            end = payload + length
            if begins != MEDIUM_TEXT or end > size or length > LONGEST_ALIGNED:
                break
            self._uncounted += 1
            if self._uncounted >= COUNTED_AT_ONCE and not self._within_allowance():
                return size
            try:
                on_text(apply_mask(data[payload:end], key))
            except UnicodeDecodeError:
                self._not_text()
                return size
            at = end
            if at == size or (at - began >= FEW_BYTES and self._is_burst(at - began)):
                return at
        return self._handle_any(data, at, size)

    @abstractmethod
    def _handle_any(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames of any kind."""

    @abstractmethod
    def _within_allowance(self) -> bool:
        """Spend the uncounted frames of the rate limit. Return False when the limit has ended the connection."""

    @abstractmethod
    def _is_burst(self, size: int) -> bool:
        """Return whether the frames behind `size` bytes of plain frames must wait for a turn."""

    @abstractmethod
    def _not_text(self) -> None:
        """Close the connection, since a message is not UTF-8."""
