"""Serves all connections of a process that speak the legacy protocol."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from actors.fanout.legacy.listener import Listener, topics_of
from actors.fanout.legacy.misroute import MisrouteCheck
from actors.fanout.legacy.talker import Talker
from patchbay.auth.session import Session
from patchbay.auth.tokens import sub_of
from patchbay.net.rate_limit import RateLimit
from patchbay.protocol import legacy
from patchbay.protocol.errors import CLOSE_POLICY
from patchbay.protocol.talk import BYTES_PER_S
from patchbay.websocket.accept import accept
from patchbay.websocket.handshake import refuse
from patchbay.websocket.send_queue import SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from actors.fanout.batch_signal import BatchSignal
    from actors.fanout.calls.registry import Calls
    from actors.fanout.limits import Limits
    from actors.fanout.talk_sender import TalkSender
    from config import Settings
    from patchbay.auth.tokens import Verifier
    from patchbay.handover.connection import HandedConnection
    from patchbay.net.poller import Poller
    from patchbay.websocket.connection import WebSocketConnection

log = logging.getLogger(__name__)

ACKNOWLEDGE_TIMEOUT_S: Final = 0.25  # for ingest to learn a new listener's topics, before it gets `connected`
TELNYX_HINT: Final = "this looks like Telnyx: set a stream_auth_token, or add ?role=telnyx to the stream URL"


class LegacyConnections:
    """The connections.

    Args:
        limits: of all connections of the process, of both protocols.
        registered: registers a connection with the process, for as long as the context lasts.
        on_added: called when a listener was added, which may need frames decoded.
        batch_signal: signals batches, which may hold acknowledgements of topics.
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
        registered: Callable[[WebSocketConnection, Talker], AbstractContextManager[None]],
        on_added: Callable[[], None],
        batch_signal: BatchSignal,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._talk_sender = talk_sender
        self._poller = poller
        self._fanout_index = fanout_index
        self._limits = limits
        self._verifier = verifier
        self._registered = registered
        self._on_added = on_added
        self._batch_signal = batch_signal
        self._talkers: dict[Talker, None] = {}

    async def serve(self, handed: HandedConnection, query: legacy.ListenQuery) -> None:
        """Serve one connection until it ends or is parked."""
        options = self._settings.fanout
        session = Session(handed, self._verifier, "listen")
        topics, sub = topics_of(query, session.calls), sub_of(handed.claims)
        if not handed.resumed and (refusal := self._limits.refusal(topics, sub)) is not None:
            refuse(handed.sock, 429, f"Too Many Requests: {refusal}")
            return
        send_queue = SendQueue(handed.sock, lossy_s=options.queue_ms / 1000)
        with self._limits.held(topics, sub) as on_listening:
            async with accept(
                handed,
                self._poller,
                send_queue,
                message_max_bytes=options.message_max_bytes,
                send_buffer_bytes=options.send_buffer_bytes,
                rate_limit=self._limits.rate_limits.of(handed.claims),
            ) as peer:
                on_listening()
                if peer is not None:
                    await self._converse(peer, query, session)

    def tick(self) -> None:
        """Do what is due by the clock for all talkers. To be called every second."""
        for talker in list(self._talkers):
            talker.tick()

    async def _converse(self, peer: WebSocketConnection, query: legacy.ListenQuery, session: Session) -> None:
        handed = peer.handed
        listener = Listener(peer, query, session.calls)
        talk_rate = RateLimit(BYTES_PER_S, BYTES_PER_S * self._settings.talk.burst_ms / 1000)
        talker = Talker(
            listener, self._calls, self._talk_sender, self._fanout_index, session=session, rate_limit=talk_rate
        )
        check = MisrouteCheck(peer, talker)
        peer.on_text, peer.on_binary = check.on_text, talker.on_binary
        with self._registered(peer, talker):
            self._talkers[talker] = None
            try:
                if handed.resumed and handed.state:
                    talker.resume(listener.resume(handed.state))
                    check.skip()
                else:
                    await self._subscribe_topics(listener)
                    listener.send_connected(self._connected_message(listener))
                self._calls.add(listener, trio.current_time())
                self._on_added()
                handed.on_drain = partial(self._hand_over, talker)
                peer.start()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_close_misdirected, check, peer)
                    await peer.until_closed()
                    nursery.cancel_scope.cancel()
            finally:
                del self._talkers[talker]
                self._calls.remove(listener)
                if not handed.is_transferred:
                    talker.stop()

    async def _subscribe_topics(self, listener: Listener) -> None:
        """Subscribe to a listener's topics, and wait until ingest knows them.

        A client that got `connected` may place a call at once, and must get its first frame.
        """
        self._calls.subscribe_topics(listener)
        processes = self._settings.ingest.processes
        if not await self._batch_signal.wait_until(
            lambda: self._calls.is_acknowledged(listener, processes), ACKNOWLEDGE_TIMEOUT_S
        ):
            self._calls.counters["interest_unheeded"] += 1

    def _connected_message(self, listener: Listener) -> bytes:
        calls = self._calls.calls_for(listener)
        if len(calls) != 1:
            return legacy.connected_message()
        given = calls[0].start.media_format
        return legacy.connected_message(given.encoding, given.sample_rate, given.channels)

    def _hand_over(self, talker: Talker) -> None:
        """Give a connection to a successor, which goes on with the next frame and the next message."""
        talker.listener.save_state(talker.hand_over())
        self._talk_sender.flush()
        talker.listener.peer.park()


async def _close_misdirected(check: MisrouteCheck, peer: WebSocketConnection) -> None:
    await check.misdirected.wait()
    log.warning(
        "a peer opens like Telnyx but was taken for a browser: %s", TELNYX_HINT, extra={"peer": peer.handed.peer}
    )
    await peer.close(CLOSE_POLICY, TELNYX_HINT)
