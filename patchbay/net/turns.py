"""Shares the time of a poller's rounds fairly between peers: a peer has its next turn after all others had theirs.

Plain frames cost little, and are handled on arrival until a round has taken too long; then peers with many of them
wait. All other frames (control frames, fragments, short and long messages) are *odd*, and are handled in turns. A turn
is limited by count, bytes and time; other frames wait in the socket. Peers of one owner (`patchbay.auth.owner`) share
one limit of time in a round, so more connections do not get more time.

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
FEW_BYTES: Final = 4096  # a dozen frames: a peer that has no more plain frames at once never waits
READING_S: Final = 0.01  # of a round; then peers with more than FEW_BYTES of plain frames wait

Peer = TypeVar("Peer")


class Turns(Generic[Peer]):
    """Schedules the turns of one poller's peers.

    Attributes:
        waiting: the owner of each peer that waits for its turn.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._queues: dict[
            Hashable, dict[Peer, bool]
        ] = {}  # by owner, in order: the waiting peers, and whether each has gone
        self.waiting: dict[Peer, Hashable] = {}
        self._called: Peer | None = None
        self._round_at = float("inf")  # when this round began
        self._spent_s: dict[Hashable, float] = {}  # of this round, by owner
        self._round_s = 0.0  # of this round, by all owners
        self._owner: Hashable = None  # whose turn it is
        self._began_at = 0.0
        self._frames = self._bytes = 0  # left of this turn

    # ---- the poller's side

    def new_round(self) -> None:
        """Begin a round, with all limits of time unspent."""
        self._round_at = self._clock()
        self._spent_s.clear()
        self._round_s = 0.0

    def call(self) -> tuple[Peer, bool] | None:
        """Return the peer whose turn it is, and whether it has gone; None: no more turns in this round.

        Owners come one after the other, and the peers of each owner in the order in which they began to wait.
        """
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
        """Record whether a waiting peer has gone. Return False when the peer does not wait."""
        if peer not in self.waiting:
            return False
        self._queues[self.waiting[peer]][peer] |= gone
        return True

    def forget(self, peer: Peer) -> None:
        """Remove a peer that is not served any more."""
        if peer in self.waiting:
            owner = self.waiting.pop(peer)
            del self._queues[owner][peer]
            if not self._queues[owner]:
                del self._queues[owner]
        if self._called is peer:
            self._called = None

    # ---- a peer's side

    def is_called(self, peer: Peer) -> bool:
        """Return whether a peer has waited for this turn."""
        return self._called is peer

    def begin(self, peer: Peer, owner: Hashable) -> bool:
        """Begin a turn, and return True; `end` must follow. Return False when the peer must wait, and queue it."""
        if self._called is not peer and (peer in self.waiting or owner in self._queues or not self._may(owner)):
            self.wait(peer, owner)
            return False
        self._called, self._owner = None, owner
        self._frames, self._bytes = FRAMES_A_TURN, BYTES_A_TURN
        self._began_at = self._clock()
        return True

    def goes_on(self, size: int) -> bool:
        """Spend a frame of `size` bytes, and return True; False: the turn is spent. The first frame always fits."""
        if self._frames < FRAMES_A_TURN and (
            self._frames <= 0 or self._bytes <= 0 or self._clock() - self._began_at >= TURN_S
        ):
            return False
        self._frames -= 1
        self._bytes -= size
        return True

    def end(self) -> None:
        """End the turn, and spend its time."""
        spent_s = self._clock() - self._began_at
        self._round_s += spent_s
        self._spent_s[self._owner] = self._spent_s.get(self._owner, 0.0) + spent_s

    def wait(self, peer: Peer, owner: Hashable) -> None:
        """Queue a peer for its next turn, behind the others."""
        if peer not in self.waiting:
            self.waiting[peer] = owner
            self._queues.setdefault(owner, {})[peer] = False

    def is_burst(self, size: int) -> bool:
        """Return whether a peer must wait that has had `size` bytes of plain frames at once, at least FEW_BYTES."""
        return size > PLAIN_BYTES_AT_ONCE or self._clock() - self._round_at >= READING_S

    def _may(self, owner: Hashable) -> bool:
        return self._round_s < ROUND_S and self._spent_s.get(owner, 0.0) < OWNER_S
