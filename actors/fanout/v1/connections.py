"""Serves all `patchbay.v1` connections of a process, and tells their clients what is due by the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import trio

from actors.fanout.peak_meter import PeakMeter, peaks_message
from actors.fanout.playout_stats import PlayoutStats
from actors.fanout.v1.connection import V1Connection
from actors.fanout.v1.context import V1Context
from patchbay.auth.session import Session
from patchbay.auth.tokens import REFUSED
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
PLAYOUTS_MAX: Final = 1000
TRACKS_OF: Final[dict[str, list[TrackName]]] = {
    "inbound": ["inbound"],
    "outbound": ["outbound"],
    "both": ["inbound", "outbound"],
}


class V1Connections:
    """The connections.

    Args:
        limits: of all connections of the process, of both protocols.
        registered: registers a connection with the process, for as long as the context lasts.
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
        registered: Callable[[WebSocketConnection, V1Connection], AbstractContextManager[None]],
    ) -> None:
        self._settings = settings
        self._poller = poller
        self._verifier = verifier
        self._registered = registered
        self._connections: dict[int, V1Connection] = {}
        self._peaks = PeakMeter(calls)
        self._playout = PlayoutStats()
        self._context = V1Context(
            calls,
            talk_sender,
            self._peaks,
            self._playout,
            fanout_index,
            settings.gateway.note_max_bytes,
            settings.fanout.listeners_per_call,
            limits.subscriptions,
            settings.fanout.requests_per_s,
            settings.fanout.requests_burst,
        )
        self._rate_limits = limits.rate_limits
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
            rate_limit=self._rate_limits.of(handed.claims),
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
        talk_rate = RateLimit(BYTES_PER_S, BYTES_PER_S * talk.burst_ms / 1000)
        session = Session(handed, self._verifier, "listen")
        connection = V1Connection(peer, session, talk_rate, self._context)
        peer.on_text = lambda message: connection.on_text(message, trio.current_time())
        peer.on_binary = lambda message: connection.on_binary(message, trio.current_time())
        with self._registered(peer, connection):
            self._connections[connection.number] = connection
            try:
                if handed.resumed and handed.state:
                    connection.resume(trio.current_time())
                else:
                    connection.open(query.call_control_ids, tracks, trio.current_time())
                handed.on_drain = connection.hand_over
                peer.start()
                await peer.until_closed()
            finally:
                del self._connections[connection.number]
                self._ignored += connection.talk.ignored
                connection.close()

    def save_states(self) -> None:
        """Save the states that have changed in a round. Requests of a round in which the process dies are read
        again."""
        unsaved = self._context.unsaved
        while unsaved:
            unsaved.popitem()[0].save_state()

    async def run(self) -> None:
        """Send what is due by the clock: peaks, and warnings of tokens that expire. For ever."""
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
        """Return counters for the console."""
        open_now = self._connections.values()
        return {"talk_ignored": self._ignored + sum(connection.talk.ignored for connection in open_now)}

    def histograms(self) -> dict[str, Any]:
        """Return histograms for the console."""
        return {"ear_delay_seconds": self._playout.ear_delay.report()}

    def playouts(self) -> dict[str, list[dict[str, Any]]]:
        """Return, by call, the playout of each listener."""
        found: dict[str, list[dict[str, Any]]] = {}
        count = 0
        for connection in self._connections.values():
            for each in connection.subscriptions:
                if each.playout is None or count >= PLAYOUTS_MAX:
                    continue
                count += 1
                claims = connection.handed.claims or {}
                about = {"connection": str(connection.number), "sub": claims.get("sub")}
                found.setdefault(each.call_control_id, []).append({**about, **each.playout})
        return found
