"""All `patchbay.v1` connections of this process: taking them in, and what they are told by the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import trio

from actors.fanout.peak_meter import PeakMeter, peaks_message
from actors.fanout.playout_stats import PlayoutStats
from actors.fanout.v1.connection import V1Connection
from patchbay.auth.session import Session
from patchbay.auth.tokens import REFUSED
from patchbay.net.quota import Quota
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol.talk import BYTES_PER_S
from patchbay.protocol.v1 import frames
from patchbay.websocket.accept import accept
from patchbay.websocket.frames import text_frame
from patchbay.websocket.send_queue import SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from actors.fanout.calls.registry import Calls
    from actors.fanout.limits import Limits
    from actors.fanout.talk_sender import TalkSender
    from config import Settings
    from patchbay.auth.tokens import Verifier
    from patchbay.handover.connection import HandedConnection
    from patchbay.net.poller import Poller
    from patchbay.protocol.legacy import ListenQuery
    from patchbay.protocol.v1.control import TrackName
    from patchbay.websocket.connection import WebSocketConnection

TICK_S: Final = 0.5
PLAYOUTS_TOLD_MAX: Final = 1000
TRACKS_OF: Final[dict[str, list[TrackName]]] = {
    "inbound": ["inbound"],
    "outbound": ["outbound"],
    "both": ["inbound", "outbound"],
}


@dataclass(frozen=True)
class Surroundings:
    """What all connections of a process share.

    Attributes:
        requests_per_s, requests_burst: of those that cost others something, of one connection.
        unnoted: connections whose note is to be written at the end of the round.
    """

    calls: Calls
    talk_sender: TalkSender
    peaks: PeakMeter
    meter: PlayoutStats
    fanout_index: int
    note_max_bytes: int
    listeners_per_call: int
    subscriptions: Quota[str] = field(default_factory=Quota)  # by `sub`
    requests_per_s: float = 20.0
    requests_burst: int = 500
    unnoted: dict[V1Connection, None] = field(default_factory=dict)


class V1Connections:
    """The connections.

    Args:
        limits: of all connections of the process, whatever they speak.
        present: enters a connection where the process looks after all of them, for as long as it lasts.
    """

    def __init__(
        self,
        settings: Settings,
        calls: Calls,
        talk_sender: TalkSender,
        poller: Poller,
        fanout_index: int,
        *,
        limits: Limits,
        verifier: Verifier | None,
        present: Callable[[WebSocketConnection, V1Connection], AbstractContextManager[None]],
    ) -> None:
        self._settings = settings
        self._poller = poller
        self._verifier = verifier
        self._present = present
        self._connections: dict[int, V1Connection] = {}
        self._peaks = PeakMeter(calls)
        self._meter = PlayoutStats()
        self._around = Surroundings(
            calls,
            talk_sender,
            self._peaks,
            self._meter,
            fanout_index,
            settings.gateway.note_max_bytes,
            settings.fanout.listeners_per_call,
            limits.subscriptions,
            settings.fanout.requests_per_s,
            settings.fanout.requests_burst,
        )
        self._allowances = limits.rate_limits
        self._ignored = 0

    async def serve(self, handed: HandedConnection, query: ListenQuery, *, names_track: bool) -> None:
        """Serve one connection until it ends or is parked."""
        options = self._settings.fanout
        send_queue = SendQueue(handed.sock, lossy_s=options.queue_ms / 1000)
        async with accept(
            handed,
            self._poller,
            send_queue,
            message_max_bytes=options.message_max_bytes,
            send_buffer_bytes=options.send_buffer_bytes,
            subprotocol=frames.SUBPROTOCOL,
            rate_limit=self._allowances.of(handed.claims),
        ) as peer:
            if peer is None:
                return
            if refused := (handed.claims or {}).get(REFUSED):
                peer.start()
                await peer.close(int(refused[0]), str(refused[1]))
                return
            await self._converse(peer, query, TRACKS_OF[query.track if names_track else "both"])

    async def _converse(self, peer: WebSocketConnection, query: ListenQuery, tracks: list[TrackName]) -> None:
        handed = peer.handed
        talk = self._settings.talk
        pace = RateLimit(BYTES_PER_S, BYTES_PER_S * talk.burst_ms / 1000)
        session = Session(handed, self._verifier, "listen")
        connection = V1Connection(peer, session, pace, self._around)
        peer.on_text = lambda message: connection.on_text(message, trio.current_time())
        peer.on_binary = lambda message: connection.on_binary(message, trio.current_time())
        with self._present(peer, connection):
            self._connections[connection.number] = connection
            try:
                if handed.resumed and handed.note:
                    connection.resume(trio.current_time())
                else:
                    connection.open(query.call_control_ids, tracks, trio.current_time())
                handed.on_drain = connection.hand_over
                peer.start()
                await peer.until_closed()
            finally:
                del self._connections[connection.number]
                self._ignored += connection.talk.ignored
                connection.leave()

    def write_notes(self) -> None:
        """Note down what has changed in a round. What is not noted when this process dies is still to be read, and so is done again."""
        unnoted = self._around.unnoted
        while unnoted:
            unnoted.popitem()[0].write_note()

    async def run(self) -> None:
        """Tell what time brings: peaks, and that a token is about to expire. For ever."""
        while True:
            await trio.sleep(TICK_S)
            now, wall = trio.current_time(), time.time()
            peaks = self._peaks.measure(now)
            for connection in list(self._connections.values()):
                connection.tick(now, wall)
                wanted = [
                    peaks[each.call_control_id]
                    for each in connection.subscriptions
                    if each.peaks and each.call_control_id in peaks
                ]
                if wanted:
                    connection.send_queue.write(text_frame(peaks_message(wanted)))

    def counters(self) -> dict[str, int]:
        """For the console."""
        open_now = self._connections.values()
        return {"talk_ignored": self._ignored + sum(connection.talk.ignored for connection in open_now)}

    def histograms(self) -> dict[str, Any]:
        """Likewise."""
        return {"ear_delay_seconds": self._meter.ear_delay.report()}

    def playouts(self) -> dict[str, list[dict[str, Any]]]:
        """By call, how each listener hears it."""
        found: dict[str, list[dict[str, Any]]] = {}
        count = 0
        for connection in self._connections.values():
            for each in connection.subscriptions:
                if each.playout is None or count >= PLAYOUTS_TOLD_MAX:
                    continue
                count += 1
                claims = connection.handed.claims or {}
                about = {"connection": str(connection.number), "sub": claims.get("sub")}
                found.setdefault(each.call_control_id, []).append({**about, **each.playout})
        return found
