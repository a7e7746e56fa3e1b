"""The plain way of a connection's input: whole text messages as nearly all are, from the poller's buffer to a callback.

Knows one kind of frame. Whatever else comes, or anything out of the ordinary that is under way, is the connection's
(`patchbay.websocket.connection`).
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

# A longer frame is passed on in pieces; a crash in the middle of it ends the connection.
LONGEST_ALIGNED: Final = 32 * 1024
COUNTED_AT_ONCE: Final = 50  # frames; counting each would cost more than it is worth

_begin = struct.Struct(">HH4s").unpack_from  # the masking key as well: cheaper than another slice


class FastPath(ABC):
    """What every frame needs. In slots, so that it lies together: a frame's connection is never the one before's, and
    fetching what belongs to it from memory is most of what a frame costs.

    Attributes:
        sock, untaken, take_soon, last_heard: see `patchbay.net.polled.Polled`.
        on_text: called with each message. A `UnicodeDecodeError` from it is the peer's fault.
    """

    __slots__ = ("_bunched_at", "_on_fast_path", "_uncounted", "last_heard", "on_text", "sock", "take_soon", "untaken")

    sock: socket.socket
    untaken: int
    take_soon: bool
    last_heard: float
    on_text: Callable[[bytes], None]
    _bunched_at: float  # when several messages came at once; only the routine in C wants to know (`reading.h`)
    _on_fast_path: bool  # nothing out of the ordinary is under way
    _uncounted: int  # frames that have not been spent of the rate limit yet

    def handle(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames; see `Polled`. Text frames of 126 to 65,535 bytes at the front are dealt with here."""
        on_text = self.on_text  # by itself: to read a slot is fast, to call what is in one is not
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
        """Spend the uncounted frames. False when the peer has sent too many, and is being ended."""

    @abstractmethod
    def _is_burst(self, size: int) -> bool:
        """Whether what follows so many bytes of plain frames has to wait for its turn."""

    @abstractmethod
    def _not_text(self) -> None:
        """Close the connection: a message is not UTF-8."""
