"""One connection that an actor serves, and what the gateway is told of it, so that another process can go on with it.

Knows nothing of what is spoken on it. What is told is told at once: a packet that the kernel has survives this process.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import trio

from patchbay.net.tcp_info import NO_COUNT, bytes_carried
from patchbay.protocol import handover

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class HandedConnection:
    """A connection that this actor serves.

    The socket is non-blocking and ours to use; when the handler returns, the link shuts it down, closes it and has the
    gateway release its copy, unless the connection was parked or handed back.

    Args:
        tell: tells the gateway, if there is one.

    Attributes:
        id: grows with time and is unique over restarts; the name of this connection everywhere.
        resumed: a predecessor has served it; the peer has had its answer to the head.
        note: what the predecessor left.
        unsent: output that must be written before anything else: a predecessor's, later the rest of a frame of ours.
    """

    def __init__(
        self,
        tell: Callable[[handover.ToGateway], None],
        sock: socket.socket,
        about: handover.Connection,
        *,
        resumed: bool,
    ) -> None:
        self._tell = tell
        self.sock = sock
        self.id = about.id
        self.kind: Literal["ws", "http"] = about.kind
        self.head = about.head
        self.peer = about.peer
        self.claims: dict[str, Any] | None = about.claims
        self.resumed = resumed
        self.note = about.note
        self.unsent = about.unsent
        self.answered = resumed
        self.given_away = False
        self.superseded = trio.Event()
        self.scope = trio.CancelScope()
        self.on_drain: Callable[[], None] = self._leave_as_it_is  # called when this process is to stop
        self._claimed: bytes | None = None
        self._told_before = False  # that the peer would be answered
        self.on_end: Callable[[int, str], Awaitable[None]] | None = None  # how to say goodbye (close code, reason)

    def set_note(self, note: bytes) -> None:
        """Have the gateway keep this for a successor, at most `gateway.note_max_bytes`; a longer one than any gateway
        takes is not even sent, and the one before stays."""
        self._keep(note, None)

    def promise_note(self, note: bytes) -> None:
        """The same for what will be so once something more has been written, which is to be done now: after a crash before that,
        the note before counts."""
        carried = bytes_carried(self.sock)
        self._keep(note, None if carried == NO_COUNT else carried)

    def set_rest(self, rest: bytes) -> None:
        """Have the gateway know what is left of a frame that was written in part. It is told at once: a packet that
        the kernel has survives this process."""
        kept = rest if len(rest) <= handover.MAX_UNSENT_BYTES else None
        self.unsent = kept or b""
        self._tell(handover.Rest(id=self.id, rest=kept))

    def about_to_answer(self) -> None:
        """The answer to the head is written next. Told before, a crash on either side of that does no harm."""
        if (carried := bytes_carried(self.sock)) != NO_COUNT:
            self._told_before = True
            self._tell(handover.Answered(id=self.id, once_above=carried))

    def answer_sent(self) -> None:
        """The peer has its answer to the head: who comes after us must not give it another."""
        self.answered = True
        if not self._told_before:
            self._tell(handover.Answered(id=self.id))

    def renew(self, claims: dict[str, Any]) -> None:
        """The peer has shown a newer token, and it has been verified: it is for as long as that says now."""
        self.claims = claims
        self._tell(handover.Renewed(id=self.id, claims=claims))

    def claim(self, key: bytes) -> None:
        """Say that this connection alone stands for `key`; whichever did before is superseded."""
        self._claimed = key
        self._tell(handover.Claim(id=self.id, key=key))

    def hand_back(self) -> None:
        """Give an HTTP connection back: its next request, still unread, is another actor's."""
        self.given_away = True
        self._tell(handover.HandBack(id=self.id))

    def park(self, unsent: bytes) -> None:
        """Give the connection back for a successor to go on with, with output that is still to be sent."""
        self.given_away = True
        self._tell(handover.Park(id=self.id, note=self.note, unsent=unsent))

    async def end(self, code: int, reason: str) -> None:
        """End the connection, with a word where its protocol has one."""
        if self.on_end is not None:
            await self.on_end(code, reason)
        self.scope.cancel()

    def _keep(self, note: bytes, once_above: int | None) -> None:
        if self.given_away:  # the successor's notes count from now on
            return
        if len(note) > handover.MAX_NOTE_BYTES:
            log.warning("connection %d: a note of %d bytes is too long", self.id, len(note))
        elif note != self.note:
            self.note = note
            self._tell(handover.Note(id=self.id, note=note, once_above=once_above))

    def _leave_as_it_is(self) -> None:
        """Nothing has been read of it yet: a successor can begin where we are."""
        if self.kind == "ws":
            self.park(self.unsent)
        self.scope.cancel()

    def deposit(self) -> list[handover.ToGateway]:
        """All that a new gateway is told of this connection; the descriptor goes with the first."""
        told: list[handover.ToGateway] = [handover.Deposit(connection=handover.describe(self), fresh=not self.answered)]
        if self._claimed is not None:
            told.append(handover.Claim(id=self.id, key=self._claimed))
        return told
