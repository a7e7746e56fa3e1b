"""Shares out what a poller does besides plain frames: each peer has a turn, and none has another before all others had
theirs.

Plain frames cost little and are dealt with as they come, until a round has taken too long: then whoever has many waits.
All else (control frames, fragments, short and long messages, requests) is *odd*, and one peer can have much of it ready
at once. A turn ends by count, by bytes and by time; what is left waits in the socket. Peers of one owner
(`patchbay.auth.owner`) share what one may have in a round, so more connections are not more turns.

Pure: knows neither sockets nor frames, and takes its clock as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

FRAMES_A_TURN: Final = 64
BYTES_A_TURN: Final = 16 * 1024
TURN_S: Final = 0.001
OWNER_S: Final = 0.001  # all turns of one owner in a round
ROUND_S: Final = 0.002  # all turns in a round
PLAIN_BYTES_AT_ONCE: Final = 32 * 1024  # some hundred frames: a second of audio of both tracks
FEW_BYTES: Final = 4096  # a dozen frames: whoever has no more plain ones never waits
READING_S: Final = 0.01  # of a round; then those with more than a few plain frames wait

Peer = TypeVar("Peer")


class Turns(Generic[Peer]):
    """The turns of one poller's peers.

    Attributes:
        waiting: the peers that wait for their turn, and whose they are.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._queues: dict[Hashable, dict[Peer, bool]] = {}  # by owner, in order; of each peer, whether it has gone
        self.waiting: dict[Peer, Hashable] = {}
        self._called: Peer | None = None
        self._round_at = float("inf")  # when this round began; there has been none
        self._spent_s: dict[Hashable, float] = {}  # in this round, by owner
        self._round_s = 0.0  # likewise, by all
        self._owner: Hashable = None  # whose turn it is
        self._began_at = 0.0
        self._frames = self._bytes = 0  # left of this turn

    # ---- the poller's side

    def new_round(self) -> None:
        """Begin a round: everybody may spend anew."""
        self._round_at = self._clock()
        self._spent_s.clear()
        self._round_s = 0.0

    def call(self) -> tuple[Peer, bool] | None:
        """Return whose turn it is, and whether that peer has gone; None: nobody's in this round. Each owner's peers
        come in order, and owners one after the other."""
        if self._round_s >= ROUND_S:
            return None
        for owner in self._queues:
            if self._may(owner):
                peers = self._queues.pop(owner)
                peer = next(iter(peers))
                gone = peers.pop(peer)
                if peers:
                    self._queues[owner] = peers
                del self.waiting[peer]
                self._called = peer
                return peer, gone
        return None

    def set_gone(self, peer: Peer, gone: bool) -> bool:
        """Remember of a peer that waits whether it has gone. False: it does not wait."""
        if peer not in self.waiting:
            return False
        self._queues[self.waiting[peer]][peer] |= gone
        return True

    def forget(self, peer: Peer) -> None:
        """A peer is served no more."""
        if peer in self.waiting:
            owner = self.waiting.pop(peer)
            del self._queues[owner][peer]
            if not self._queues[owner]:
                del self._queues[owner]
        if self._called is peer:
            self._called = None

    # ---- a peer's side

    def is_called(self, peer: Peer) -> bool:
        """Whether this is a turn that a peer has waited for."""
        return self._called is peer

    def begin(self, peer: Peer, owner: Hashable) -> bool:
        """Whether a peer may have a turn now; if not, it waits for one. `end` must follow."""
        if self._called is not peer and (peer in self.waiting or owner in self._queues or not self._may(owner)):
            self.wait(peer, owner)
            return False
        self._called, self._owner = None, owner
        self._frames, self._bytes = FRAMES_A_TURN, BYTES_A_TURN
        self._began_at = self._clock()
        return True

    def goes_on(self, size: int) -> bool:
        """Whether the turn has room for another frame of so many bytes. The first of a turn always has."""
        if self._frames < FRAMES_A_TURN and (
            self._frames <= 0 or self._bytes <= 0 or self._clock() - self._began_at >= TURN_S
        ):
            return False
        self._frames -= 1
        self._bytes -= size
        return True

    def end(self) -> None:
        """The turn has ended."""
        spent_s = self._clock() - self._began_at
        self._round_s += spent_s
        self._spent_s[self._owner] = self._spent_s.get(self._owner, 0.0) + spent_s

    def wait(self, peer: Peer, owner: Hashable) -> None:
        """Let a peer wait for its next turn, behind the others."""
        if peer not in self.waiting:
            self.waiting[peer] = owner
            self._queues.setdefault(owner, {})[peer] = False

    def is_burst(self, size: int) -> bool:
        """Whether a peer that has had so many bytes of plain frames in one reading, more than a few, has to wait with
        the rest."""
        return size > PLAIN_BYTES_AT_ONCE or self._clock() - self._round_at >= READING_S

    def _may(self, owner: Hashable) -> bool:
        return self._round_s < ROUND_S and self._spent_s.get(owner, 0.0) < OWNER_S
