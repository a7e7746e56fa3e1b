"""Reads the frames of a WebSocket connection from the bytes that the poller has peeked at, and passes on messages.

Whole messages of one frame go straight to a callback, most of them by the fast path (`patchbay.websocket.fast_path`).
`patchbay.websocket.assembler` checks fragments, control frames and faults.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

import trio

from patchbay.net.turns import FRAMES_A_TURN
from patchbay.protocol.errors import CLOSE_BAD_TEXT, CLOSE_FLOOD, CLOSE_PROTOCOL, CLOSE_TOO_BIG
from patchbay.websocket.assembler import CONTROL_PAYLOAD_MAX_BYTES, Assembler, Close, Fault, LongFrame
from patchbay.websocket.fast_path import COUNTED_AT_ONCE, LONGEST_ALIGNED, FastPath
from patchbay.websocket.frames import (
    BINARY,
    CLIENT_PING,
    FRAME_HEAD_MAX_BYTES,
    MEDIUM_HEADER_BYTES,
    MEDIUM_TEXT,
    NOT_MASKED,
    TEXT,
    Frame,
    cannot_be_text,
    find_frames,
    pong_frame,
    unmask,
    whole_messages,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from patchbay.net.rate_limit import RateLimit
    from patchbay.net.turns import Turns
    from patchbay.websocket.send_queue import SendQueue

BULK_AT_ONCE_BYTES: Final = 4096


def ignore(*_: object) -> None:
    """Do nothing: the callback of a connection that is not served yet, or has ended."""


class FrameReader(FastPath):
    """Reads the frames of one connection. `patchbay.websocket.connection` closes the connection.

    Args:
        turns: the poller's turns, in which odd frames are handled.
        owner: shares one limit of time in turns.

    Attributes:
        on_text, on_binary: called with each whole message. A `UnicodeDecodeError` of `on_text` closes the connection
            with 1007.
        on_repeated: called with True before frames are handled that a crashed predecessor has peeked at, and with False
            after them.
        message_since: when the incomplete message began; valid while `is_within_message`.
        on_bulk: called first with each reading (buffer, begin, size) while the connection is read periodically, and
            returns the offset behind the last frame that it has handled; None: the connection is read on arrival.
    """

    def __init__(
        self,
        send_queue: SendQueue,
        rate_limit: RateLimit,
        message_max_bytes: int,
        *,
        strict_text: bool,
        turns: Turns[Any],
        owner: Hashable,
    ) -> None:
        self.send_queue = send_queue
        self._turns = turns
        self._owner = owner
        self.on_text = ignore
        self.on_binary: Callable[[bytes], object] = ignore
        self.on_repeated: Callable[[bool], object] = ignore
        self.on_bulk: Callable[[memoryview, int, int], int] | None = None
        self._rate_limit = rate_limit
        self._assembler = Assembler(message_max_bytes, is_strict=strict_text)
        self._frame_max_bytes = message_max_bytes + FRAME_HEAD_MAX_BYTES
        self._strict_text = strict_text
        self._long: LongFrame | None = None  # incomplete
        self._seen_before = 0  # bytes that a crashed predecessor has peeked at
        self.message_since = 0.0
        self._uncounted = 0
        self._on_fast_path = False
        self._discards_input = False  # all further input is discarded

    @property
    def is_within_message(self) -> bool:
        """Tell whether a part of a message was taken from the socket, and the rest has not arrived."""
        return self._long is not None or self._assembler.is_within

    @abstractmethod
    def _fail(self, code: int, reason: str) -> None:
        """Close the connection, since the peer has violated the protocol."""

    @abstractmethod
    def _too_much(self, kind: str, code: int, reason: str) -> None:
        """Close the connection, since the peer has sent too much. `kind` names the counter."""

    @abstractmethod
    def _hear_close(self, code: int) -> None:
        """Answer the peer's close frame, and end reading."""

    def _not_text(self) -> None:
        self._fail(CLOSE_BAD_TEXT, "text that is not UTF-8")

    def _is_burst(self, size: int) -> bool:
        if not self._turns.is_burst(size):
            return False
        self.wait()
        return True

    def wait(self) -> None:
        """Leave further frames in the socket until this connection's turn comes; see `Polled`."""
        self._turns.wait(self, self._owner)
        self._on_fast_path = False

    def _handle_any(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames of any kind; see `Polled.handle`."""
        if self._seen_before:
            at = self._handle_repeated(data, at, size)
            if self._seen_before:
                return at
        return self._handle_some(data, at, size)

    def _handle_repeated(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames that a crashed predecessor has peeked at."""
        end = min(at + self._seen_before, size)
        self.on_repeated(True)
        reached = self._handle_some(data, at, end)
        self._seen_before = self._seen_before + at - reached if self in self._turns.waiting else 0
        if not self._seen_before:
            self.on_repeated(False)
        return reached

    def _handle_some(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames until this connection's turn is spent."""
        if self.on_bulk is not None and self._long is None and not self._assembler.is_within:
            at = self._handle_bulk(data, at, size) if self._turns.is_called(self) else self.on_bulk(data, at, size)
        if self._discards_input:
            return size
        if not self._turns.begin(self, self._owner):
            self._on_fast_path = False
            return at
        try:
            return self._handle_odd(data, at, size)
        finally:
            self._turns.end()

    def _handle_odd(self, data: memoryview, at: int, size: int) -> int:
        while not self._discards_input:
            if self._long is not None:
                at = self._take_long(self._long, data, at, size)
                if self._long is not None:
                    return at
            before = at
            at, need = self._whole_frames(data, at, size)
            if self in self._turns.waiting:
                return at
            if need:
                self._begin_long(data[at], need)
            elif not before < at < size:  # otherwise more frames may follow
                self._on_fast_path = not (self.on_bulk or self._assembler.is_within)
                if at < size and self._strict_text and cannot_be_text(data, at, size):
                    self._not_text()
                    break
                return at
        return size

    def _whole_frames(self, data: memoryview, at: int, size: int) -> tuple[int, int]:
        """Handle complete frames. Return the offset behind them, and the second result of `find_frames`."""
        frames, need = find_frames(data, at, size, LONGEST_ALIGNED, FRAMES_A_TURN)
        is_open = need or self._assembler.is_within
        if not is_open:
            frames = whole_messages(data, frames, is_strict=self._strict_text)
        pongs: list[bytes] = []
        for frame in frames:
            _, begin, _, end = frame
            if begin < at:
                continue  # `on_bulk` has handled this frame
            is_divisible = is_open or not self._assembler.is_within  # a roll must not find half a message
            if not self._turns.goes_on(end - begin) and is_divisible:
                self.wait()
                break
            if not self._handle_frame(data, frame, pongs):
                return size, 0
            at = self._handle_bulk(data, end, size)
        self._answer(pongs)
        return at, need if not frames or at == frames[-1][-1] else 0

    def _handle_frame(self, data: memoryview, frame: Frame, pongs: list[bytes]) -> bool:
        """Handle one complete frame. Return False when no more frames may be read. Adds answers to pings to `pongs`."""
        self._uncounted += 1
        if self._uncounted >= COUNTED_AT_ONCE and not self._within_allowance():
            return False
        first, _, payload, end = frame
        if first == CLIENT_PING and end - payload <= CONTROL_PAYLOAD_MAX_BYTES:
            pongs.append(pong_frame(unmask(data, payload, end)))
        else:
            self._take(data, frame, pongs)
        return not self._discards_input

    def _handle_bulk(self, data: memoryview, at: int, size: int) -> int:
        """Pass frames to `on_bulk`, in growing pieces so that no byte is read often. Return the offset behind them."""
        reach = BULK_AT_ONCE_BYTES
        while (
            self.on_bulk is not None
            and not (self._discards_input or self._assembler.is_within)
            and size - at > MEDIUM_HEADER_BYTES
            and data[at] << 8 | data[at + 1] == MEDIUM_TEXT
        ):
            end = self.on_bulk(data, at, min(at + reach, size))
            if end == at:
                break
            at, reach = end, 2 * reach
        return at

    def _take(self, data: memoryview, frame: Frame, pongs: list[bytes]) -> None:
        """Handle a frame that is no ping. `pongs` are written before the answer to this frame."""
        first, _, payload, end = frame
        try:
            if first == TEXT and not self._assembler.is_within:
                self.on_text(unmask(data, payload, end))
            elif first == BINARY and not self._assembler.is_within:
                self.on_binary(unmask(data, payload, end))
            else:
                self._answer(pongs)
                self._take_odd(first, unmask(data, payload, end))
        except UnicodeDecodeError:
            self._not_text()
        except Fault as fault:
            self._fail(fault.code, fault.reason)

    def _take_odd(self, first: int, payload: bytes) -> None:
        was_within = self._assembler.is_within
        event = self._assembler.take(first, payload)
        if not was_within:
            self.message_since = trio.current_time()
        if isinstance(event, Close):
            self._hear_close(event.code)
        elif event is not None:
            (self.on_text if event.is_text else self.on_binary)(event.payload)

    def _answer(self, pongs: list[bytes]) -> None:
        """Write the answers to all pings of a reading at once, so that a flood costs the other peers little.

        A peer that is behind gets only the last answer (RFC 6455 §5.5.3).
        """
        if pongs:
            self.send_queue.write_control(pongs[-1] if self.send_queue.behind else b"".join(pongs))
            pongs.clear()

    def _begin_long(self, first: int, need: int) -> None:
        """Begin a frame that is longer than one reading, or refuse it. `need`: the second result of `find_frames`."""
        if need == NOT_MASKED:
            self._fail(CLOSE_PROTOCOL, "a frame that is not masked")
        elif need > self._frame_max_bytes:
            self._too_much("too_long", CLOSE_TOO_BIG, "too long a message")
        else:
            try:
                self._assembler.admit(first, need - FRAME_HEAD_MAX_BYTES)
                if not self._assembler.is_within:
                    self.message_since = trio.current_time()
                self._long = LongFrame(need)
            except Fault as fault:
                self._fail(fault.code, fault.reason)

    def _take_long(self, long: LongFrame, data: memoryview, at: int, size: int) -> int:
        at = long.take(data, at, size)
        if not long.left:
            self._long = None
            raw = memoryview(long.raw())
            self._uncounted += 1
            self._take(raw, find_frames(raw, 0, len(raw), len(raw))[0][0], [])
        return at

    def count(self, messages: int) -> None:
        """Count messages that `on_bulk` has handled."""
        self._uncounted += messages
        if self._uncounted >= COUNTED_AT_ONCE:
            self._within_allowance()

    def _within_allowance(self) -> bool:
        count, self._uncounted = self._uncounted, 0
        if self._rate_limit.spend(count, trio.current_time()):
            return True
        kind, reason = self._rate_limit.violation
        self._too_much(kind, CLOSE_FLOOD, reason)
        return False
