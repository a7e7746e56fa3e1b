"""The open connections of a process, of both protocols: finds the connection for events of its talk, and sums up
counters."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.fanout.calls.subscriber import Participant
    from patchbay.websocket.connection import WebSocketConnection


class Talking(Protocol):
    """Gets the events of one connection's talk."""

    @property
    def participant(self) -> Participant:
        """Return the connection, for the journal."""

    def on_refused(self, title: str, detail: str) -> None: ...

    def on_dropped(self, title: str, ms: float) -> None: ...

    def on_mark(self, name: str, stream_id: str | None) -> None: ...


class OpenConnections:
    """Holds the connections.

    Attributes:
        peers: their WebSockets.
    """

    def __init__(self) -> None:
        self.peers: dict[WebSocketConnection, None] = {}
        self._talking: dict[int, Talking] = {}  # by the connection's number
        self._dropped = 0  # of closed connections

    @contextmanager
    def registered(self, peer: WebSocketConnection, talking: Talking) -> Iterator[None]:
        """Hold a connection for as long as the context lasts."""
        self.peers[peer] = None
        self._talking[peer.handed.id] = talking
        try:
            yield
        finally:
            self._dropped += peer.send_queue.dropped
            del self._talking[peer.handed.id]
            del self.peers[peer]

    @property
    def audio_dropped(self) -> int:
        """Return the number of frames that send queues have dropped, those of closed connections included."""
        return self._dropped + sum(peer.send_queue.dropped for peer in self.peers)

    def participant(self, number: int) -> Participant | None:
        """Return the connection with this number, for the journal; None: it is not open in this process."""
        talking = self._talking.get(number)
        return None if talking is None else talking.participant

    def on_talk_event(self, kind: int, fields: dict[str, Any]) -> None:
        """Pass an ingest's message about talk on to its connection; without that connection, ignore it."""
        talking = self._talking.get(int(fields["talker"]))
        if talking is None:
            return
        if kind == batches.REFUSED:
            talking.on_refused(fields["title"], fields["detail"])
        elif kind == batches.DROPPED:
            talking.on_dropped(fields["title"], fields["dropped_ms"])
        elif kind == batches.MARKED:
            talking.on_mark(fields["name"], fields["stream_id"])
