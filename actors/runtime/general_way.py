"""The general way of a connection: trio-websocket, for all that the fast ways leave (handshake, control frames,
fragments, faults, the closing), behind a stream of our own.

A resumed connection's peer has had its answer to the handshake, so trio-websocket, which is given the head again, has
its 101 swallowed; and since most never need it, that is done when something comes this way. Knows nothing of sockets:
bytes are put in, and what is to be sent goes to the outbox.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from actors.runtime.nothing import nothing
from actors.wire.tokens import answered_subprotocol
from actors.wire.websocket import CLOSE, close_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from actors.runtime.handed import Handed
    from actors.runtime.outbox import Outbox

HANDSHAKE_TIMEOUT_S = 5.0
PIECE_BYTES = 2048  # for trio-websocket at a time; …
PIECE_FRAMES = 80  # … but no more frames than this, of which each costs it some 20 us; …
LONG_PIECE_BYTES = 16 * 1024  # … or this much of a longer one, whose bytes cost it little
UNREAD_MAX = 256 * 1024  # bytes waiting for trio-websocket; then the socket is left alone until it has read them
OPCODE_CONTROL = 0x08
FINAL = 0x80
FAULTS = frozenset({1002, 1007})  # close codes for what breaks the protocol


class GeneralWay(trio.abc.Stream):
    """The stream that trio-websocket sees, and what comes out of it.

    Args:
        turns: all connections of a process take turns, with a small piece each, so that many of them, or one that sends
            nothing but fragments of nothing, do not keep audio waiting.
        on_room: called when it was full and is not any more.
        on_close: called when trio-websocket is done with the connection.

    Attributes:
        closed: set when nothing more is read or written.
        is_busy: a message is on its way here, and later ones must not overtake it.
        is_fragmented: the last message has not gone here whole.
    """

    def __init__(
        self,
        handed: Handed,
        outbox: Outbox,
        turns: trio.Lock,
        *,
        on_room: Callable[[], None],
        on_close: Callable[[], None],
    ) -> None:
        self.closed = trio.Event()
        self.is_busy = False
        self.is_fragmented = False
        self._handed = handed
        self._outbox = outbox
        self._turns = turns
        self._on_room, self._on_close = on_room, on_close
        self._inbox = bytearray()
        self._sizes: deque[int] = deque()  # of what was put in, frame by frame
        self._unread = trio.Event()
        self._shaking = trio.Lock()
        self._shake: Callable[[], Awaitable[None]] | None = None
        self._ended = False
        self._on_their_way = 0  # messages that have gone here whole and have not come out yet
        self._swallow = handed.resumed
        self._said_why = False  # our close frame is out
        self._websocket: WebSocketConnection | None = None

    @property
    def is_empty(self) -> bool:
        """Whether trio-websocket has all that was put in."""
        return not self._inbox

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be put in for now."""
        return len(self._inbox) > UNREAD_MAX

    @property
    def has_heard_goodbye(self) -> bool:
        """Whether either side has said so here."""
        return self._websocket is not None and self._websocket.closed is not None

    # ---- in

    def begin(self, first: int) -> bool:
        """A frame with this first byte is about to be put in. Whether it is one of a message, and no control frame."""
        if first & OPCODE_CONTROL:
            return False
        self.is_fragmented = not first & FINAL
        self._on_their_way += not self.is_fragmented
        self.is_busy = True
        return True

    def put(self, data: bytes | memoryview) -> None:
        """Frames, or a piece of one."""
        self._inbox += data
        self._sizes.append(len(data))
        self._unread.set()

    def forget(self) -> None:
        """What has not been read yet will not be."""
        self._inbox.clear()
        self._sizes.clear()

    def end_of_input(self) -> None:
        """The peer has gone."""
        self._ended = True
        self._unread.set()

    # ---- trio-websocket's side

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The request head first, then frames; b"" when the peer has gone."""
        while not self._inbox:
            if self._ended or self.closed.is_set():
                await trio.lowlevel.checkpoint()
                return b""
            self._unread = trio.Event()
            await self._unread.wait()
        async with self._turns:  # in the next moment it is another's turn; the pump has one in between
            await trio.lowlevel.checkpoint()
        was_full = self.is_full
        size = self._next_size()
        piece = bytes(self._inbox[:size])
        del self._inbox[:size]
        if was_full and not self.is_full:
            self._on_room()
        return piece

    def _next_size(self) -> int:
        """How much is read at once: whole frames, or a part of a long one."""
        sizes, size = self._sizes, 0
        for _ in range(PIECE_FRAMES):
            if not sizes or size + sizes[0] > PIECE_BYTES:
                break
            size += sizes.popleft()
        if not size and sizes:
            size = min(LONG_PIECE_BYTES, sizes[0])
            sizes[0] -= size
        return size

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write, or queue, without waiting for the peer."""
        await trio.lowlevel.checkpoint()
        if self._swallow:
            self._swallow = False
            return
        self._said_why = self._said_why or data[0] == CLOSE
        is_answer = not self._handed.answered
        if is_answer:
            self._handed.about_to_answer()
        if not self._outbox.write_control(bytes(data)):
            raise trio.BrokenResourceError
        if is_answer:
            self._handed.answer_sent()

    async def wait_send_all_might_not_block(self) -> None:
        """It never blocks."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Stop reading and writing. The descriptor is the gateway link's to close."""
        self._on_close()
        fault = None if self._websocket is None else self._websocket.closed
        if fault is not None and fault.code in FAULTS and not self._said_why:
            self._said_why = True  # trio-websocket leaves without a word (RFC 6455 §7.1.7 wants one)
            self._outbox.write_control(close_frame(fault.code))
        self.closed.set()
        self._unread.set()
        await trio.lowlevel.checkpoint()

    def forget_all(self) -> None:
        """The connection has ended."""
        self._on_room = self._on_close = nothing
        self._websocket = self._shake = None

    # ---- out

    async def open(self, nursery: trio.Nursery, message_max_bytes: int, subprotocol: str | None) -> bool:
        """Have trio-websocket do the handshake; with a peer that has done it already, when it must. False when there was
        nothing to shake hands with."""
        self._shake = partial(self._shake_hands, nursery, message_max_bytes, subprotocol)
        if self._handed.resumed:
            return True
        return await self._opened() is not None and not self.closed.is_set()

    async def _opened(self) -> WebSocketConnection | None:
        async with self._shaking:
            shake, self._shake = self._shake, None
            if shake is not None and not self.closed.is_set():
                await shake()
        return self._websocket

    async def _shake_hands(self, nursery: trio.Nursery, message_max_bytes: int, subprotocol: str | None) -> None:
        self._unread.set()  # `messages` may wait for it, and the reader makes another one
        self._inbox[:0] = self._handed.head
        self._sizes.appendleft(len(self._handed.head))
        with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
            async with trio.open_nursery() as shaking:

                async def until_closed() -> None:
                    await self.closed.wait()
                    shaking.cancel_scope.cancel()

                shaking.start_soon(until_closed)
                request = await wrap_server_stream(nursery, self, max_message_size=message_max_bytes)
                chosen = subprotocol or answered_subprotocol(request.proposed_subprotocols)
                with suppress(ConnectionClosed):  # the peer has reset it already
                    self._websocket = await request.accept(subprotocol=chosen)
                shaking.cancel_scope.cancel()

    async def messages(self) -> AsyncIterator[bytes | str]:
        """Yield the messages that went this way, until either side has said goodbye, or the peer has gone."""
        if self._shake is not None:
            await self._unread.wait()
            if self._ended and self.is_empty:
                return  # nothing has ever come this way
        websocket = await self._opened()
        while websocket is not None:
            try:
                message = await websocket.get_message()
            except ConnectionClosed:
                return
            yield message
            self._on_their_way -= 1
            self.is_busy = self.is_fragmented or self._on_their_way > 0

    async def say_goodbye(self, code: int, reason: str) -> None:
        """Say why, and wait for the peer's answer. To be given a time."""
        websocket = await self._opened()
        if websocket is not None:
            await websocket.aclose(code, reason)
