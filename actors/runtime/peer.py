"""One WebSocket connection that was handed over: from the bytes that the pump has looked at to messages, and its closing.

Whole, masked, unfragmented text and binary frames go straight to a callback, most of them the plain way
(`actors.runtime.plain_way`). Fragments, control frames and faults are judged by `actors.wire.assembler`. Output never
waits: frames are written at once, or queued in bounds (`actors.runtime.outbox`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from actors.runtime.looking import discard, looked_at
from actors.runtime.nothing import nothing
from actors.runtime.plain_way import COUNTED_AT_ONCE, LONGEST_ALIGNED, PlainWay
from actors.wire.assembler import CONTROL_MAX_BYTES, Assembler, Close, Fault, LongFrame
from actors.wire.websocket import (
    BINARY,
    CLIENT_PING,
    CLOSE_BAD_TEXT,
    CLOSE_FLOOD,
    CLOSE_PROTOCOL,
    CLOSE_RESTART,
    CLOSE_TOO_BIG,
    FRAME_HEAD_MAX_BYTES,
    NOT_MASKED,
    TEXT,
    Frame,
    cannot_be_text,
    close_frame,
    find_frames,
    pong_frame,
    unmask,
    whole_messages,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.runtime.allowance import Allowance
    from actors.runtime.handed import Handed
    from actors.runtime.outbox import Outbox
    from actors.runtime.pump import Pump

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
DEAF_TIMEOUT_S = 0.5  # for our words to get to one that we do not listen to any more


class Peer(PlainWay):
    """The connection. Made by `actors.runtime.accepting`.

    Attributes:
        on_text, on_binary: called with each whole message. A `UnicodeDecodeError` from `on_text` is the peer's fault and
            closes the connection as RFC 6455 says.
        on_again: called with True before what a predecessor, which has crashed, had looked at is handled again, and with False
            after that.
        on_too_much: called with the close code and reason of a peer that has sent too much.
        skim: while the connection is cold, gets each reading first (buffer, begin, size) and returns how far it has
            dealt with it; the rest is handled as ever.
        closed: set when nothing more is read or written.
    """

    def __init__(
        self,
        handed: Handed,
        pump: Pump,
        outbox: Outbox,
        allowance: Allowance,
        message_max_bytes: int,
        *,
        strict_text: bool = True,
    ) -> None:
        self.handed = handed
        self.sock = handed.sock
        self.outbox = outbox
        self.write = outbox.write  # the hot path saves a call
        self.untaken = 0
        self.take_soon = False
        self.last_heard = self.opened_at = trio.current_time()
        self.on_text = nothing
        self.on_binary: Callable[[bytes], None] | None = None
        self.on_again: Callable[[bool], object] = nothing
        self.on_too_much: Callable[[int, str], object] = lambda code, reason: self.end_of_input()
        self.skim: Callable[[memoryview, int, int], int] | None = None
        self.closed = trio.Event()
        self._pump = pump
        self._allowance = allowance
        self._assembler = Assembler(message_max_bytes, is_strict=strict_text)
        self._frame_max_bytes = message_max_bytes + FRAME_HEAD_MAX_BYTES
        self._strict_text = strict_text
        self._long: LongFrame | None = None  # that is on its way
        self._seen_before = 0  # bytes
        self._uncounted = 0
        self._plain = False
        self._deaf = False  # what else comes is thrown away
        self._closing = False  # we have sent a close frame and wait for the peer's
        self._goodbye = trio.Event()  # the peer has closed, has broken the protocol, or has gone
        self._written = trio.Event()  # nothing waits to be written any more
        self._gone = False  # the peer reads nothing any more

    # ---- the pump's side

    def _handle_any(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames of any kind."""
        if self._seen_before:
            at = self._handle_again(data, at, size)
        while not self._deaf:
            if self._long is not None:
                at = self._take_long(self._long, data, at, size)
                if self._long is not None:
                    return at
            if self.skim is not None and not self._assembler.is_within:
                at = self.skim(data, at, size)
                if self._deaf:
                    break
            before = at
            at, need = self._whole_frames(data, at, size)
            if self._deaf:
                break
            if not need and self.skim is not None and before < at < size:
                continue
            self._plain = not (need or self.skim or self._assembler.is_within)
            if not need:
                if at < size and self._strict_text and cannot_be_text(data, at, size):
                    self._fail(CLOSE_BAD_TEXT, "text that is not UTF-8")
                    break
                return at
            self._begin_long(data[at], need)
        return size

    def _handle_again(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames of what a predecessor had looked at."""
        end, self._seen_before = min(at + self._seen_before, size), 0
        self.on_again(True)
        at = self._handle_any(data, at, end)
        self.on_again(False)
        return at

    def _whole_frames(self, data: memoryview, at: int, size: int) -> tuple[int, int]:
        """Handle what is whole. Returns how far that is, and what `find_frames` says of the next one."""
        frames, need = find_frames(data, at, size, LONGEST_ALIGNED)
        if not need and not self._assembler.is_within:
            frames = whole_messages(data, frames, is_strict=self._strict_text)
        self._uncounted += len(frames)
        if self._uncounted >= COUNTED_AT_ONCE and not self._within_allowance():
            return size, 0
        pongs: list[bytes] = []
        for index, (first, _, payload, end) in enumerate(frames):
            if first == CLIENT_PING and end - payload <= CONTROL_MAX_BYTES:
                pongs.append(pong_frame(unmask(data, payload, end)))
            else:
                self._take(data, frames[index], pongs)
                if self._deaf:
                    return size, 0
            at = end
            if self.skim is not None and not self._assembler.is_within:
                self._uncounted -= len(frames) - index - 1
                need = 0  # what follows is to be skimmed, too: a listener that joins wants it
                break
        self._answer(pongs)
        return at, need

    def _take(self, data: memoryview, frame: Frame, pongs: list[bytes]) -> None:
        """Take a frame that is no ping. `pongs`: what is to be answered before it is."""
        first, _, payload, end = frame
        try:
            if first == TEXT and not self._assembler.is_within:
                self.on_text(unmask(data, payload, end))
            elif first == BINARY and not self._assembler.is_within:
                self._binary(unmask(data, payload, end))
            else:
                self._answer(pongs)
                self._take_odd(first, unmask(data, payload, end))
        except UnicodeDecodeError:
            self._fail(CLOSE_BAD_TEXT, "text that is not UTF-8")
        except Fault as fault:
            self._fail(fault.code, fault.reason)

    def _take_odd(self, first: int, payload: bytes) -> None:
        event = self._assembler.take(first, payload)
        if isinstance(event, Close):
            self.outbox.finish(close_frame(event.code))
            self._end_reading()
        elif event is not None:
            (self.on_text if event.is_text else self._binary)(event.payload)

    def _binary(self, message: bytes) -> None:
        if self.on_binary is not None:
            self.on_binary(message)

    def _answer(self, pongs: list[bytes]) -> None:
        """All pings of a reading in one go: a flood of them costs the others little then. One that does not read what
        it is sent gets an answer to the last (RFC 6455 §5.5.3)."""
        if pongs:
            self.outbox.write_control(pongs[-1] if self.outbox.behind else b"".join(pongs))
            pongs.clear()

    def _begin_long(self, first: int, need: int) -> None:
        """A frame begins that is longer than what is read at once, or that can't be told from what follows."""
        if need == NOT_MASKED:
            self._fail(CLOSE_PROTOCOL, "a frame that is not masked")
        elif need > self._frame_max_bytes:
            self._too_much("too_long", CLOSE_TOO_BIG, "too long a message")
        else:
            try:
                self._assembler.admit(first, need - FRAME_HEAD_MAX_BYTES)
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
        """Count messages that `skim` has dealt with."""
        self._uncounted += messages
        if self._uncounted >= COUNTED_AT_ONCE:
            self._within_allowance()

    def _within_allowance(self) -> bool:
        count, self._uncounted = self._uncounted, 0
        if self._allowance.spend(count, trio.current_time()):
            return True
        self._too_much("flood", CLOSE_FLOOD, "too many messages")
        return False

    def _too_much(self, kind: str, code: int, reason: str) -> None:
        self._say_why(kind, reason)
        self._deaf, self._plain = True, False
        self._pump.remove(self)
        self.on_too_much(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        """The peer has broken the protocol: RFC 6455 §7.1.7."""
        self._say_why("fault", reason)
        self.outbox.finish(close_frame(code, reason))
        self._end_reading()

    def _say_why(self, kind: str, reason: str) -> None:
        self._pump.counters[f"closed_{kind}"] += 1
        sub = (self.handed.claims or {}).get("sub")
        log.warning(
            "connection %d from %s: %s; ending it", self.handed.id, self.handed.peer, reason, extra={"sub": sub}
        )

    def _end_reading(self) -> None:
        self._deaf, self._plain = True, False
        self._goodbye.set()

    def end_of_input(self) -> None:
        """The peer has gone."""
        self._gone = True
        self._pump.remove(self)
        self._end_reading()
        self._written.set()

    def writable(self) -> bool:
        """Send what is queued; see `Pumped`."""
        self.outbox.drain()
        if self.outbox.is_waiting:
            return True
        self._written.set()
        return False

    def _not_text(self) -> None:
        self._fail(CLOSE_BAD_TEXT, "text that is not UTF-8")

    # ---- the actor's side

    def start(self) -> None:
        """Begin to read: what the peer has sent so far comes with the next round."""
        self._seen_before = looked_at(self.sock) if self.handed.resumed else 0
        self._pump.add(self)
        if self.skim is not None:
            self._pump.cool(self)
        if self.outbox.is_waiting:
            self._pump.want_write(self)

    def cool(self, skim: Callable[[memoryview, int, int], int]) -> None:
        """Nobody waits for what this peer sends: read it now and then only."""
        self.skim, self._plain = skim, False
        self._pump.cool(self)

    def look(self) -> None:
        """Read it now, if it is cold. Not to be called from a callback of its own."""
        self._pump.look(self)

    def warm(self) -> None:
        """Somebody does again."""
        self.skim = None
        self._pump.warm(self)

    async def until_closed(self) -> None:
        """Wait until either side has closed the connection, and the peer has been told so."""
        await self._goodbye.wait()
        if self._closing:
            await self.closed.wait()
        else:
            await self._part()

    async def close(self, code: int, reason: str) -> None:
        """Say why, wait a little for the peer's answer, and end the connection. What it still sends is ignored."""
        self.on_text = self.on_binary = nothing
        if self._closing:
            await self.closed.wait()
            return
        self._closing = True
        self.outbox.finish(close_frame(code, reason))
        with trio.move_on_after(DEAF_TIMEOUT_S if self._deaf else CLOSE_TIMEOUT_S):
            await self._goodbye.wait()
        await self._part()

    async def _part(self) -> None:
        """Let our last words leave: an end with bytes unread is a reset, which could destroy them on their way."""
        if self.outbox.is_waiting and not self._gone:
            self._written = trio.Event()
            with trio.move_on_after(DEAF_TIMEOUT_S):
                await self._written.wait()
        discard(self.sock)
        self.closed.set()
        self._goodbye.set()

    def forget(self) -> None:
        """It has ended: let go of all that held on to it."""
        self.on_text = self.on_binary = nothing
        self.on_too_much = self.on_again = nothing
        self.skim = None

    def park(self) -> None:
        """Give the connection back for a successor, with what is still to be sent; end the handler here."""
        self._pump.remove(self)
        unsent = self.outbox.unsent()
        if unsent is None or self._long is not None or self._assembler.is_within:
            log.warning("connection %d is closing, in the middle of a message, or too far behind", self.handed.id)
            self.outbox.finish(close_frame(CLOSE_RESTART, "this process is replaced: come back"))
        else:
            self.outbox.detach()
            self.handed.park(unsent)
        self.handed.scope.cancel()
