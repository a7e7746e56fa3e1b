"""Serves one connection that the gateway has handed over, and reports its state to the gateway for a successor.

Reports are sent at once: a packet that the kernel has taken survives this process. The protocol spoken on the
connection is not known here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import trio

from patchbay.net.tcp_info import NO_COUNT, bytes_written
from patchbay.protocol import handover

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class HandedConnection:
    """Holds a connection that this actor serves.

    The handler uses the socket, which is non-blocking. When the handler returns, the link shuts the socket down, closes
    it and has the gateway release its duplicate, unless the connection was transferred (parked or returned).

    Args:
        send: sends a message to the gateway, if there is one.

    Attributes:
        id: identifies the connection everywhere; grows with time and is unique across restarts.
        resumed: a predecessor has served the connection, and has answered the head.
        state: the state for a successor; at first the predecessor's.
        unsent: bytes that must be written before all others: at first the predecessor's, later the remainder of a
            frame.
        answered: the peer has had its answer to the head.
        is_transferred: the gateway has the connection again.
        superseded: set when another connection has claimed the same key.
        on_drain: called when this process is about to stop.
        on_close: closes the connection with a close code and a reason.
    """

    def __init__(
        self,
        send: Callable[[handover.ToGateway], None],
        sock: socket.socket,
        about: handover.Connection,
        *,
        resumed: bool,
    ) -> None:
        self._send = send
        self.sock = sock
        self.id = about.id
        self.kind: Literal["ws", "http"] = about.kind
        self.head = about.head
        self.peer = about.peer
        self.claims: dict[str, Any] | None = about.claims
        self.resumed = resumed
        self.state = about.state
        self.unsent = about.unsent
        self.answered = resumed
        self.is_transferred = False
        self.superseded = trio.Event()
        self.scope = trio.CancelScope()
        self.on_drain: Callable[[], None] = self._park_untouched
        self._claimed: bytes | None = None
        self._announced_answer = False
        self.on_close: Callable[[int, str], Awaitable[None]] | None = None

    def set_state(self, state: bytes) -> None:
        """Have the gateway keep a state for a successor, at most `gateway.note_max_bytes`.

        A state of more than MAX_STATE_BYTES is not sent, and the state before stays.
        """
        self._keep(state, None)

    def set_state_once_written(self, state: bytes) -> None:
        """Have the gateway keep a state that is valid once more bytes are written, which the caller does next.

        After a crash before that, a successor gets the state before.
        """
        carried = bytes_written(self.sock)
        self._keep(state, None if carried == NO_COUNT else carried)

    def set_remainder(self, remainder: bytes) -> None:
        """Have the gateway keep the remainder of a frame that was written in part; empty: the frame is whole.

        A remainder of more than MAX_UNSENT_BYTES is not sent, and the gateway ends the connection when this process
        dies.
        """
        kept = remainder if len(remainder) <= handover.MAX_UNSENT_BYTES else None
        self.unsent = kept or b""
        self._send(handover.Rest(id=self.id, rest=kept))

    def about_to_answer(self) -> None:
        """Announce that the answer to the head is written next, so a crash before or after the write does no harm."""
        if (carried := bytes_written(self.sock)) != NO_COUNT:
            self._announced_answer = True
            self._send(handover.Answered(id=self.id, once_above=carried))

    def answer_sent(self) -> None:
        """Report that the answer to the head was written: a successor must not answer again."""
        self.answered = True
        if not self._announced_answer:
            self._send(handover.Answered(id=self.id))

    def set_claims(self, claims: dict[str, Any]) -> None:
        """Replace the claims by those of a newer, verified token."""
        self.claims = claims
        self._send(handover.Renewed(id=self.id, claims=claims))

    def claim(self, key: bytes) -> None:
        """Claim a key for this connection. The connection that had it before is superseded."""
        self._claimed = key
        self._send(handover.Claim(id=self.id, key=key))

    def return_to_gateway(self) -> None:
        """Return an HTTP connection to the gateway: its next request, still unread, is for another actor."""
        self.is_transferred = True
        self._send(handover.HandBack(id=self.id))

    def park(self, unsent: bytes) -> None:
        """Return the connection to the gateway for a successor, with the bytes to be sent first."""
        self.is_transferred = True
        self._send(handover.Park(id=self.id, state=self.state, unsent=unsent))

    async def close(self, code: int, reason: str) -> None:
        """Close the connection with a close code and a reason, where its protocol has these, and cancel its handler."""
        if self.on_close is not None:
            await self.on_close(code, reason)
        self.scope.cancel()

    def _keep(self, state: bytes, once_above: int | None) -> None:
        if self.is_transferred:  # the states of the successor count now
            return
        if len(state) > handover.MAX_STATE_BYTES:
            log.warning("connection %d: a state of %d bytes is too long; the one before is kept", self.id, len(state))
        elif state != self.state:
            self.state = state
            self._send(handover.SetState(id=self.id, state=state, once_above=once_above))

    def _park_untouched(self) -> None:
        """Park a connection of which nothing was read yet, and cancel its handler."""
        if self.kind == "ws":
            self.park(self.unsent)
        self.scope.cancel()

    def deposit(self) -> list[handover.ToGateway]:
        """Return the messages that tell a new gateway of this connection. The descriptor goes with the first."""
        messages: list[handover.ToGateway] = [
            handover.Deposit(connection=handover.describe(self), fresh=not self.answered)
        ]
        if self._claimed is not None:
            messages.append(handover.Claim(id=self.id, key=self._claimed))
        return messages
