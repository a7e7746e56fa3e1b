"""One WebSocket connection that was handed over: fast ways for whole data frames, trio-websocket for all the rest.

Input comes from the pump. Whole, masked, unfragmented text and binary frames go straight to a callback, most of them
the plain way (`actors.runtime.plain_way`); every other frame goes, as it is, the general way
(`actors.runtime.general_way`). Output never waits: frames are written at once, or queued in bounds
(`actors.runtime.outbox`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from actors.runtime.general_way import GeneralWay
from actors.runtime.looking import discard, looked_at
from actors.runtime.nothing import nothing
from actors.runtime.plain_way import COUNTED_AT_ONCE, LONGEST_ALIGNED, PlainWay
from actors.wire.websocket import (
    BINARY,
    CLOSE,
    CLOSE_FLOOD,
    CLOSE_TOO_BIG,
    NOT_MASKED,
    TEXT,
    cannot_be_text,
    find_frames,
    pong_frame,
    unmask,
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
OPCODE = 0x0F
CLIENT_PING = 0x89
LONG = 126  # bytes; no control frame's payload is so long
CHEAP = frozenset({TEXT, BINARY})
DEAR = 19  # what any other frame (a fragment, a ping) counts more than a message: about as many times it costs


class Peer(PlainWay):
    """The connection. Made by `actors.runtime.accepting`.

    Attributes:
        on_text, on_binary: called with each whole message of the fast way. A `UnicodeDecodeError` from `on_text` is the
            peer's fault and closes the connection as RFC 6455 says.
        on_again: called with True before what a predecessor, which has crashed, had looked at is handled again, and with False
            after that.
        skim: while the connection is cold, gets each reading first (buffer, begin, size) and returns how far it has
            dealt with it; the rest is handled as ever.
    """

    def __init__(self, handed: Handed, pump: Pump, outbox: Outbox, allowance: Allowance, frame_max_bytes: int) -> None:
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
        self.skim: Callable[[memoryview, int, int], int] | None = None
        self._seen_before = 0  # bytes
        self._pump = pump
        self._general = GeneralWay(
            handed,
            outbox,
            pump.turns,
            on_room=lambda: pump.look_again(self),
            on_close=lambda: pump.remove(self),
        )
        self.closed = self._general.closed
        self._skip = 0  # bytes of a long frame still to be passed on
        self._raw = False  # frames can't be told any more: everything is passed on
        self._closing = False  # we have said goodbye and wait for the peer's
        self._allowance = allowance
        self._uncounted = 0
        self._frame_max_bytes = frame_max_bytes
        self._plain = False
        self._deaf = False  # it has sent too much, or its goodbye: what else comes is thrown away
        self.on_too_much: Callable[[int, str], object] = lambda code, reason: self.end_of_input()

    # ---- the pump's side

    def _handle_any(self, data: memoryview, at: int, size: int) -> int:
        """Handle complete frames of any kind."""
        if self._seen_before:
            at = self._handle_again(data, at, size)
        if self._deaf:
            return size
        if self._general.is_full:
            return at
        while True:
            if self._raw or self._skip:
                at = self._pass_on(data, at, size)
                if self._raw or at == size:
                    return at
            if self.skim is not None and not self._general.is_busy:
                at = self.skim(data, at, size)
                if self._deaf:
                    return size
            before = at
            at, need = self._whole_frames(data, at, size)
            if not need and self.skim is not None and before < at < size:
                continue
            self._plain = not (need or self.skim or self._general.is_busy or self._deaf)
            if not need:
                if at < size and cannot_be_text(data, at, size):
                    self._raw = True  # trio-websocket finds the same, and says so at once (1007)
                    continue
                return at
            if need > self._frame_max_bytes:
                self._too_much("too_long", CLOSE_TOO_BIG, "too long a message")
                return size
            self._raw, self._skip = need == NOT_MASKED, max(need, 0)
            self._begins_general(data[at])

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
        self._uncounted += len(frames) + DEAR * sum(frame[0] not in CHEAP for frame in frames)
        if self._uncounted >= COUNTED_AT_ONCE and not self._within_allowance():
            return size, 0
        pongs: list[bytes] = []
        try:
            for first, start, payload, end in frames:
                if first == TEXT and not self._general.is_busy:
                    self._text(data, start, payload, end)
                elif first == BINARY and self.on_binary is not None and not self._general.is_busy:
                    self.on_binary(unmask(data, payload, end))
                elif first == CLIENT_PING and end - payload < LONG and self._may_answer():
                    pongs.append(pong_frame(unmask(data, payload, end)))
                else:
                    self._go_general(first, data[start:end])
                    if first & OPCODE == CLOSE & OPCODE:
                        self._deaf = True  # what follows a goodbye counts for nothing
                        return size, 0
                at = end
                if self.skim is not None and not self._general.is_busy:
                    self._uncounted -= sum(1 if later[0] in CHEAP else 1 + DEAR for later in frames if later[1] >= at)
                    return at, 0  # what follows is to be skimmed, too: a listener that joins wants it
        finally:
            self._answer(pongs)
        return at, need

    def _answer(self, pongs: list[bytes]) -> None:
        """All pings of a reading in one go: a flood of them costs the others little then. One that does not read what
        it is sent gets an answer to the last (RFC 6455 §5.5.3)."""
        if pongs:
            self.outbox.write_control(pongs[-1] if self.outbox.behind else b"".join(pongs))

    def _may_answer(self) -> bool:
        """Whether a ping is not behind something that trio-websocket has still to judge."""
        return self._general.is_empty and not (self._general.is_busy or self._closing)

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
        self._pump.counters[f"closed_{kind}"] += 1
        log.warning("connection %d from %s: %s; ending it", self.handed.id, self.handed.peer, reason)
        self._deaf, self._plain = True, False
        self._general.forget()
        self._pump.remove(self)
        self.on_too_much(code, reason)

    def end_of_input(self) -> None:
        """The peer has gone."""
        self._general.end_of_input()
        self._pump.remove(self)

    def writable(self) -> bool:
        """Send what is queued; see `Pumped`."""
        self.outbox.drain()
        return self.outbox.behind

    def _text(self, data: memoryview, start: int, payload: int, end: int) -> None:
        try:
            self.on_text(unmask(data, payload, end))
        except UnicodeDecodeError:
            self._go_general(TEXT, data[start:end])  # where it is closed with 1007

    def _go_general(self, first: int, frame: memoryview) -> None:
        self._begins_general(first)
        self._general.put(frame)

    def _begins_general(self, first: int) -> None:
        if self._general.begin(first):
            self._plain = False

    def _pass_on(self, data: memoryview, at: int, size: int) -> int:
        end = size if self._raw else min(size, at + self._skip)
        self._skip -= 0 if self._raw else end - at
        self._general.put(data[at:end])
        return end

    # ---- the actor's side

    @property
    def is_closing(self) -> bool:
        """Whether either side has said goodbye."""
        return self._closing or self._general.has_heard_goodbye

    def start(self) -> None:
        """Begin to read: what the peer has sent so far comes with the next round."""
        self._seen_before = looked_at(self.sock)
        self._pump.add(self)
        if self.skim is not None:
            self._pump.cool(self)
        if self.outbox.behind:
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

    async def open(self, nursery: trio.Nursery, message_max_bytes: int, subprotocol: str | None) -> bool:
        """Shake hands. False when there was nothing to shake hands with."""
        return await self._general.open(nursery, message_max_bytes, subprotocol)

    async def until_closed(self) -> None:
        """Give the messages of the general way (fragmented or very long ones) to the callbacks, until the connection
        has closed. Those of a kind that has no callback are dropped."""
        async for message in self._general.messages():
            if isinstance(message, str):
                self.on_text(message.encode())
            elif self.on_binary is not None:
                self.on_binary(bytes(message))
        if self._closing:
            await self.closed.wait()  # an end right behind our close frame could destroy it on its way

    async def close(self, code: int, reason: str) -> None:
        """Say why, wait a little for the peer's answer, and end the connection. What it still sends is ignored."""
        self.on_text = self.on_binary = nothing
        self._closing = True
        with trio.move_on_after(DEAF_TIMEOUT_S if self._deaf else CLOSE_TIMEOUT_S):
            await self._general.say_goodbye(code, reason)
        if self._deaf:
            discard(self.sock)  # an end with bytes unread is a reset, which could destroy our words on their way
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading and writing. The descriptor is the gateway link's to close."""
        await self._general.aclose()

    def forget(self) -> None:
        """It has ended: let go of all that held on to it."""
        self.on_text = self.on_binary = nothing
        self.on_too_much = self.on_again = nothing
        self.skim = None
        self._general.forget_all()

    def park(self) -> None:
        """Give the connection back for a successor, with what is still to be sent; end the handler here."""
        self._pump.remove(self)
        unsent = self.outbox.unsent()
        if unsent is None or self._raw or self._skip or self._general.is_fragmented:
            log.warning("connection %d is in the middle of a message, or too far behind, to be moved", self.handed.id)
        else:
            self.outbox.detach()
            self.handed.park(unsent)
        self.handed.scope.cancel()
