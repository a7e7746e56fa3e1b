"""Sends talk to ingest processes: the talk of one round of the event loop is one message to each process.

Talk that a process does not take at once (it restarts, say) is kept for a second and tried again, perhaps at another
process by then; after that the talker gets an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio

from patchbay.protocol.batches import BRIDGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchbay.bus.sockets import Bus, BusSocket

KEEP_S: Final = 1.0
THIS_ROUND: Final = None  # talk of this round; the clock is read only if the talk must be kept
KEEP_MAX: Final = 10_000  # pieces of talk, of all talkers together
KEEP_MAX_BYTES: Final = 32 * 1024 * 1024
MESSAGE_BYTES: Final = 1024 * 1024  # about so much is sent in one message

Owner = tuple[int, str]  # index and slot of an ingest process


class Destination(Protocol):
    """The call that talk is for."""

    @property
    def owner(self) -> Owner:
        """Return the ingest process that carries the call now."""


class TalkSource(Protocol):
    """The talker."""

    def on_unreachable(self) -> None:
        """Tell the talker that its talk could not be sent in time."""


# Call, talker, packed talk, and when it came. The call's owner is looked up when the talk is sent. A plain tuple, since
# a NamedTuple takes much longer to make, for every frame.
Piece = tuple[Destination, TalkSource, bytes, "float | None"]


class TalkSender:
    """Holds one PUSH socket to each ingest process that carries a call, and to the bridge; made when needed.

    Attributes:
        lost: number of pieces of talk that no process took in time.
    """

    __slots__ = ("_bus", "_pieces", "_sockets", "lost")

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._sockets: dict[Owner, BusSocket] = {}
        self._pieces: list[Piece] = []
        self.lost = 0

    def send(self, call: Destination, talker: TalkSource, packed: bytes) -> None:
        """Send a piece of talk, with the others of this round."""
        self._pieces.append((call, talker, packed, THIS_ROUND))

    def flush(self) -> None:
        """Send the talk of this round, and talk that was kept. To be called after each round, and when calls may have
        moved."""
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
        for call, talker, packed, came_at in pieces:
            since = now if came_at is None else came_at
            kept_bytes += len(packed)
            if now - since <= KEEP_S and len(self._pieces) < KEEP_MAX and kept_bytes <= KEEP_MAX_BYTES:
                self._pieces.append((call, talker, packed, since))
            else:
                self.lost += 1
                talker.on_unreachable()

    def _socket(self, owner: Owner) -> BusSocket:
        sock = self._sockets.get(owner)
        if sock is None:
            index, slot = owner
            to = ("bridge", 0) if index == BRIDGE else ("ingest", index)
            sock = self._sockets[owner] = self._bus.pusher(*to, slot, "talk")
        return sock


def _ends(pieces: list[Piece]) -> Iterator[int]:
    """Yield the end of each message, of about MESSAGE_BYTES at most, as an index of `pieces`."""
    size = 0
    for end, (_, _, packed, _) in enumerate(pieces):
        if size >= MESSAGE_BYTES:
            yield end
            size = 0
        size += len(packed)
    yield len(pieces)
