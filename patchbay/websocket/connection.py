"""Serves one WebSocket connection, from the handshake until the connection is closed or parked for a successor.

`patchbay.websocket.frame_reader` reads frames. `patchbay.websocket.send_queue` writes them, and never waits.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from patchbay.auth.owner import owner_of
from patchbay.net.peek import bytes_waiting, discard, peek_offset
from patchbay.protocol.errors import CLOSE_RESTART
from patchbay.websocket.frame_reader import FrameReader, ignore
from patchbay.websocket.frames import close_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchbay.handover.connection import HandedConnection
    from patchbay.net.poller import Poller
    from patchbay.net.rate_limit import RateLimit
    from patchbay.websocket.send_queue import SendQueue

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
WRITE_TIMEOUT_S = 0.5  # for the last frames, to a peer that is behind
DISCARD_INTERVAL_S = 0.05


class WebSocketConnection(FrameReader):
    """Reads and writes one connection. `patchbay.websocket.accept` makes and ends it; the link closes the socket.

    Attributes:
        write: writes a lossy frame.
        on_too_much: called with a close code and a reason when the peer has sent too much.
        closed: set when nothing more is read or written.
    """

    def __init__(
        self,
        handed: HandedConnection,
        poller: Poller,
        send_queue: SendQueue,
        rate_limit: RateLimit,
        message_max_bytes: int,
        *,
        strict_text: bool = True,
    ) -> None:
        owner = owner_of(handed.id, handed.peer, handed.claims)
        super().__init__(
            send_queue, rate_limit, message_max_bytes, strict_text=strict_text, turns=poller.turns, owner=owner
        )
        self.handed = handed
        self.sock = handed.sock
        self.write = send_queue.write  # the hot path saves a call
        self.untaken = 0
        self.take_soon = False
        self.last_heard = self.opened_at = trio.current_time()
        self.on_too_much: Callable[[int, str], object] = lambda code, reason: self.end_of_input()
        self.closed = trio.Event()
        self._poller = poller
        self._closing = False  # `close` was called
        self._goodbye = trio.Event()  # set when the peer has closed, has violated the protocol, or has gone
        self._written = trio.Event()  # set when no output is queued any more
        self._gone = False  # the peer does not read any more

    # ---- the poller's side

    def _too_much(self, kind: str, code: int, reason: str) -> None:
        self._say_why(kind, reason)
        self._discards_input, self._on_fast_path = True, False
        self._poller.remove(self)
        self.on_too_much(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        """Close the connection, since the peer has violated the protocol (RFC 6455 §7.1.7)."""
        self._say_why("fault", reason)
        self.send_queue.write_close(close_frame(code, reason))
        self._end_reading()

    def _hear_close(self, code: int) -> None:
        self.send_queue.write_close(close_frame(code))
        self._end_reading()

    def _say_why(self, kind: str, reason: str) -> None:
        self._poller.counters[f"closed_{kind}"] += 1
        sub = (self.handed.claims or {}).get("sub")
        log.warning(
            "connection %d from %s is ended: %s",
            self.handed.id,
            self.handed.peer,
            reason,
            extra={"sub": sub, "peer": self.handed.peer},
        )

    def _end_reading(self) -> None:
        self._discards_input, self._on_fast_path = True, False
        self._goodbye.set()

    def end_of_input(self) -> None:
        """End reading and writing, since the peer has gone."""
        self._gone = True
        self._poller.remove(self)
        self._end_reading()
        self._written.set()

    def output_broke(self) -> None:
        """End the connection, since nothing can be written any more."""
        if self.send_queue.overflowed:
            self._say_why("unread", "the peer has left too many frames unread")
        self.end_of_input()

    def writable(self) -> bool:
        """Write queued frames; see `Polled`."""
        self.send_queue.drain()
        if self.send_queue.is_waiting:
            return True
        self._written.set()
        return False

    # ---- the actor's side

    @property
    def is_within_frame(self) -> bool:
        """Tell whether the socket holds an incomplete frame."""
        return bytes_waiting(self.sock) > self.untaken

    def start(self) -> None:
        """Begin to read. Frames that the socket already holds are handled in the next round."""
        self._seen_before = peek_offset(self.sock) if self.handed.resumed else 0
        self._poller.add(self)
        if self.on_bulk is not None:
            self._poller.read_periodically(self)
        if self.send_queue.is_waiting:
            self._poller.want_write(self)

    def read_periodically(self, on_bulk: Callable[[memoryview, int, int], int]) -> None:
        """Read this connection periodically, and pass each reading to `on_bulk` first."""
        self.on_bulk, self._on_fast_path = on_bulk, False
        self._poller.read_periodically(self)

    def read_now(self) -> None:
        """Read now, if the connection is read periodically. Must not be called from its own callbacks."""
        self._poller.read_now(self)

    def read_on_arrival(self) -> None:
        """Read this connection on the arrival of bytes again."""
        self.on_bulk = None
        self._poller.read_on_arrival(self)

    async def until_closed(self) -> None:
        """Wait until either side has closed the connection, and the last frames were written. Cancelling is safe."""
        await self._goodbye.wait()
        if self._closing:
            await self.closed.wait()
        else:
            await self._part()

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, wait for the peer's answer for some seconds, and end the connection.

        Messages that still arrive are ignored. Cancelling ends the wait; the end of `accept` ends the connection.
        """
        self.on_text = self.on_binary = ignore
        if self._closing:
            await self.closed.wait()
            return
        self._closing = True
        self.send_queue.write_close(close_frame(code, reason))
        with trio.move_on_after(CLOSE_TIMEOUT_S):
            await (self._until_gone() if self._discards_input else self._goodbye.wait())
        await self._part()

    async def _until_gone(self) -> None:
        """Discard input until the peer has gone: unread bytes would reset the connection before the peer reads the
        close frame."""
        while not self._goodbye.is_set() and discard(self.sock):  # noqa: ASYNC110 - a flood must not wake this task
            await trio.sleep(DISCARD_INTERVAL_S)

    async def _part(self) -> None:
        """Write the last frames, and discard input: a socket that is closed with unread bytes resets the connection."""
        if self.send_queue.is_waiting and not self._gone:
            self._written = trio.Event()
            with trio.move_on_after(WRITE_TIMEOUT_S):
                await self._written.wait()
        discard(self.sock)
        self.closed.set()
        self._goodbye.set()

    def forget(self) -> None:
        """Remove all callbacks, after the connection has ended."""
        self.on_text = self.on_binary = ignore
        self.on_too_much = self.on_repeated = ignore
        self.on_bulk = None

    def park(self) -> None:
        """Return the connection to the gateway for a successor, with its unsent bytes, and cancel the handler.

        A connection that can't be resumed is closed instead: within a message, closing, or too far behind.
        """
        self._poller.remove(self)
        unsent = self.send_queue.unsent()
        if unsent is None or self.is_within_message:
            log.warning(
                "connection %d can't be parked, so it is closed: within a message, closing, or behind", self.handed.id
            )
            self.send_queue.write_close(close_frame(CLOSE_RESTART, "this process is replaced: come back"))
        else:
            self.send_queue.detach()
            self.handed.park(unsent)
        self.handed.scope.cancel()
