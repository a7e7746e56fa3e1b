"""Keeps which connections there are and who serves each, and decides who should.

Pure: descriptors and links are opaque, the time is an argument. What is decided comes back as values; the I/O around
it (`actors.gateway.router`, `actors.gateway.listener`) carries it out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SocketT = TypeVar("SocketT")


@dataclass(eq=False)
class Link:
    """Describes one process of an actor that has said hello."""

    name: str
    index: int
    generation: int
    pid: int
    leaving: bool = False
    serving: set[int] = field(default_factory=set)  # ids of connections


@dataclass(eq=False)
class HeldConnection(Generic[SocketT]):
    """Describes a connection that the gateway has a copy of.

    Attributes:
        index: which process of the actor it belongs to; None until one is chosen.
        link: the process that serves it; None while it waits for one.
        waiting_since: when it began to wait.
        fresh: its peer has had no answer to the head yet, …
        answered_above: … but has once it has carried more bytes than this.
        pending_state: a state that counts once it has carried more than so many bytes, and that count.
        counted: under which names it counts; see `Table.counts`.
        torn: a frame to its peer was written in part and the rest is not known here, so nobody can go on with it.
    """

    id: int
    sock: SocketT
    kind: Literal["ws", "http"]
    actor: str
    head: bytes
    peer: str
    affinity: int | None = None
    index: int | None = None
    link: Link | None = None
    waiting_since: float = 0.0
    fresh: bool = True
    answered_above: int | None = None
    pending_state: tuple[bytes, int] | None = None
    torn: bool = False
    state: bytes = b""
    unsent: bytes = b""
    claims: dict[str, object] | None = None
    claim: bytes | None = None
    counted: tuple[str, ...] = ()

    def keep(self, state: bytes, once_above: int | None) -> None:
        """Keep a state of the connection for its successor."""
        if self.pending_state is not None:
            self.state = self.pending_state[0]  # or it would not go on talking
        self.pending_state = None if once_above is None else (state, once_above)
        if once_above is None:
            self.state = state

    def answer(self, once_above: int | None) -> None:
        """Note that the peer has its answer to the head."""
        self.answered_above = once_above
        self.fresh = once_above is not None

    @property
    def is_unsettled(self) -> bool:
        """Return whether something depends on how many bytes the connection has carried."""
        return self.answered_above is not None or self.pending_state is not None

    def settle(self, carried: int) -> None:
        """Decide, now that its process has gone, whether what was about to be written has been written. `carried`:
        bytes."""
        if self.answered_above is not None:
            self.fresh = carried <= self.answered_above
        if self.pending_state is not None and carried > self.pending_state[1]:
            self.state = self.pending_state[0]
        self.answered_above = self.pending_state = None


class Table(Generic[SocketT]):
    """Holds all connections and all links.

    Args:
        processes: how many an actor is to have; one with a higher index is to be no more, and gets no connections.

    Attributes:
        counts: how many connections there are under each name that any of them counts under.
    """

    def __init__(self, processes: Mapping[str, int] | None = None) -> None:
        self._processes = processes or {}
        self.held: dict[int, HeldConnection[SocketT]] = {}
        self.links: list[Link] = []
        self.counts: Counter[str] = Counter()
        self._claims: dict[bytes, int] = {}

    def add(self, held: HeldConnection[SocketT], now: float) -> None:
        """Add a connection; it waits until a process serves it."""
        held.waiting_since = now
        self.held[held.id] = held
        self.counts.update(held.counted)

    def remove(self, connection_id: int) -> HeldConnection[SocketT] | None:
        """Remove a connection; the caller closes its socket."""
        held = self.held.pop(connection_id, None)
        if held is not None:
            self._unlink(held)
            for name in held.counted:
                self.counts[name] -= 1
                if not self.counts[name]:
                    del self.counts[name]
            if held.claim is not None and self._claims.get(held.claim) == held.id:
                del self._claims[held.claim]
        return held

    def join(self, link: Link) -> None:
        """Add a process."""
        self.links.append(link)

    def leave(self, link: Link, now: float) -> list[HeldConnection[SocketT]]:
        """A process has gone. Its WebSockets wait for its successor; returned are the connections to close instead:
        HTTP requests, which may have been acted upon and must not be repeated, and torn ones."""
        self.links.remove(link)
        doomed = []
        for connection_id in list(link.serving):
            held = self.held[connection_id]
            if held.kind == "http" or held.torn:
                doomed.append(held)
            else:
                self.wait(held, now)
        return doomed

    def wait(self, held: HeldConnection[SocketT], now: float) -> None:
        """Have a connection wait for a process."""
        self._unlink(held)
        held.waiting_since = now

    def serve(self, held: HeldConnection[SocketT], link: Link) -> None:
        """Note that a process serves a connection."""
        self._unlink(held)
        held.link, held.index = link, link.index
        link.serving.add(held.id)

    def waiting(self, actor: str | None = None) -> Iterator[HeldConnection[SocketT]]:
        """Iterate over the connections without a process, of one actor or all."""
        return (held for held in self.held.values() if held.link is None and actor in (None, held.actor))

    def overdue(self, now: float, park_time_s: float) -> list[HeldConnection[SocketT]]:
        """Return the connections that have waited too long."""
        return [held for held in self.waiting() if now - held.waiting_since >= park_time_s]

    def choose(self, held: HeldConnection[SocketT]) -> Link | None:
        """The process that should serve a connection: the newest of its index where it has one (a successor finds the
        calls it knows) and that is not to be no more, by call id where the request names one, else the least loaded."""
        candidates = self._newest(held.actor)
        if held.index is not None and self._is_wanted(held.actor, held.index):
            return candidates.get(held.index)
        if not candidates:
            return None
        if held.affinity is not None:
            indexes = sorted(candidates)
            return candidates[indexes[held.affinity % len(indexes)]]
        return min(candidates.values(), key=lambda link: (len(link.serving), link.index))

    def claim(self, connection_id: int, key: bytes) -> HeldConnection[SocketT] | None:
        """Note that a connection alone stands for `key`. Returns the one that it supersedes, if there is an older
        one."""
        held = self.held.get(connection_id)
        if held is None:
            return None
        previous = self._claims.get(key)
        if previous is not None and previous > connection_id:
            return held  # the newer one was told of first; this one is what is superseded
        if held.claim is not None and self._claims.get(held.claim) == connection_id:
            del self._claims[held.claim]  # it stands for something else now
        self._claims[key] = connection_id
        held.claim = key
        return self.held.get(previous) if previous not in (None, connection_id) else None

    def has_process(self, actor: str) -> bool:
        """Return whether a process of an actor takes connections."""
        return any(link.name == actor and not link.leaving for link in self.links)

    def _newest(self, actor: str) -> dict[int, Link]:
        newest: dict[int, Link] = {}
        for link in self.links:
            if link.name == actor and not link.leaving and self._is_wanted(actor, link.index):
                known = newest.get(link.index)
                if known is None or link.generation > known.generation:
                    newest[link.index] = link
        return newest

    def _is_wanted(self, actor: str, index: int) -> bool:
        return index < self._processes.get(actor, index + 1)

    def _unlink(self, held: HeldConnection[SocketT]) -> None:
        if held.link is not None:
            held.link.serving.discard(held.id)
            held.link = None
