"""The way of talk to the ingest processes: gathered in a round, sent as one message to each process that carries a call.

What a process does not take at once (it restarts, say) is kept for a second and tried again, by then perhaps at another
process; after that the talker is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.fanout.calls.call import Call
    from patchbay.bus.sockets import Bus, BusSocket

KEEP_S: Final = 1.0
JUST_NOW: Final = None  # said in this round; the clock is looked at only if it must be kept
KEEP_MAX: Final = 10_000  # pieces of talk, of all talkers together
KEEP_MAX_BYTES: Final = 32 * 1024 * 1024
MESSAGE_BYTES: Final = 1024 * 1024  # about so much goes in one message

Owner = tuple[int, str]  # index and slot of an ingest process


class Speaker(Protocol):
    """Who has said something."""

    def not_reached(self) -> None:
        """It could not be sent in time."""


# Something said, on its way: into which call, by whom, packed, and when. Where to is looked up when it is sent. A bare
# tuple: a NamedTuple takes seven times as long to make, for every frame.
Piece = tuple["Call", Speaker, bytes, "float | None"]


class TalkSender:
    """One PUSH socket to each ingest process that carries a call, made when needed."""

    __slots__ = ("_bus", "_pieces", "_sockets", "lost")

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._sockets: dict[Owner, BusSocket] = {}
        self._pieces: list[Piece] = []
        self.lost = 0  # pieces that reached nobody

    def say(self, call: Call, talker: Speaker, packed: bytes) -> None:
        """Send a piece of talk with the others of this round."""
        self._pieces.append((call, talker, packed, JUST_NOW))

    def flush(self) -> None:
        """Send what has been said. To be called after each round, and when a call may have another owner."""
        if not self._pieces:
            return
        by_owner: dict[Owner, list[Piece]] = {}
        for piece in self._pieces:
            by_owner.setdefault(piece[0].owner, []).append(piece)
        self._pieces = []
        for owner, pieces in by_owner.items():
            sock, begin = self._socket(owner), 0
            for end in _ends(pieces):
                if not sock.send_nowait(b"".join([packed for _, _, packed, _ in pieces[begin:end]])):
                    self._keep(pieces[begin:])
                    break
                begin = end

    def _keep(self, pieces: list[Piece]) -> None:
        now = trio.current_time()
        kept_bytes = sum(len(packed) for _, _, packed, _ in self._pieces)
        for call, talker, packed, said_at in pieces:
            since = now if said_at is None else said_at
            kept_bytes += len(packed)
            if now - since <= KEEP_S and len(self._pieces) < KEEP_MAX and kept_bytes <= KEEP_MAX_BYTES:
                self._pieces.append((call, talker, packed, since))
            else:
                self.lost += 1
                talker.not_reached()

    def _socket(self, owner: Owner) -> BusSocket:
        sock = self._sockets.get(owner)
        if sock is None:
            sock = self._sockets[owner] = self._bus.pusher("ingest", *owner, "talk")
        return sock


def _ends(pieces: list[Piece]) -> Iterator[int]:
    """Where each message ends, when they go in parts that the bus takes."""
    size = 0
    for end, (_, _, packed, _) in enumerate(pieces):
        if size >= MESSAGE_BYTES:
            yield end
            size = 0
        size += len(packed)
    yield len(pieces)
