"""The ways to the ingest processes for talk: one PUSH socket to each process that carries a call, made when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.runtime.bus import Bus, BusSocket


class IngestLinks:
    """Sends talk to ingest processes by (index, slot)."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._sockets: dict[tuple[int, str], BusSocket] = {}

    def send(self, owner: tuple[int, str], message: bytes) -> bool:
        """Send one message; False when that process is not there or can't keep up."""
        sock = self._sockets.get(owner)
        if sock is None:
            sock = self._sockets[owner] = self._bus.pusher("ingest", *owner, "talk")
        return sock.send_nowait(message)

    @property
    def refused(self) -> int:
        """Messages that were not taken at once."""
        return sum(sock.dropped for sock in self._sockets.values())
