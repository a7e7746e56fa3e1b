"""`python -m tests.conformance.actor NAME`: an actor as it is, but for what it does with a message: it echoes it.

The Autobahn cases want an echo server. Everything that they are about stays the actor's own: how connections are
handed over and accepted, the poller, the peer, the send queue, limits and closing. Only what is called with a whole
message is another, and nothing is said without being asked.
"""

from __future__ import annotations

import importlib
import math
import sys
from typing import TYPE_CHECKING, cast

from actors.call_events import actor as call_events
from actors.call_events.clients.client import Clients
from actors.fanout import actor as fanout
from actors.fanout.legacy.connections import LegacyConnections
from actors.ingest import actor as ingest
from actors.ingest.stream.stream import Stream
from patchbay.process.main import run_actor
from patchbay.websocket.frames import binary_frame, text_frame

if TYPE_CHECKING:
    from actors.call_events.clients.client import EventClient
    from actors.call_events.clients.cursor import Cursor
    from actors.call_events.clients.filter import EventFilter
    from actors.call_events.entry import Interest
    from actors.fanout.legacy.talker import Talker
    from actors.ingest.streams import Streams
    from patchbay.auth.session import Session
    from patchbay.protocol.legacy import ListenQuery
    from patchbay.websocket.connection import WebSocketConnection


class EchoListeners(LegacyConnections):
    """Listeners that hear themselves."""

    async def _converse(self, peer: WebSocketConnection, query: ListenQuery, session: Session) -> None:
        _echo(peer)
        with self._registered(peer, cast("Talker", None)):
            peer.start()
            await peer.until_closed()


class EchoIngest(ingest.Ingest):
    """As strict as RFC 6455 wants it, and as the other actors are."""

    strict_text = True


class EchoStream(Stream):
    """A media stream that hears itself."""

    def __init__(self, streams: Streams, peer: WebSocketConnection) -> None:
        super().__init__(streams, peer)
        self.on_text = self._echo
        self.idle_since = math.inf  # no call is expected

    def _echo(self, message: bytes) -> None:
        message.decode()  # a stream decodes what it gets; text that is not UTF-8 is the WebSocket's business
        self.peer.send_queue.write_control(text_frame(message))

    def on_binary(self, message: bytes) -> None:
        self.peer.send_queue.write_control(binary_frame(message))


class EchoClients(Clients):
    """Clients of events that hear themselves."""

    def _start(self, client: EventClient, asked: EventFilter, found: tuple[Cursor, int, bytes] | None) -> None:
        client.start(self._dispatcher.epoch, self._dispatcher.tail.last, b"")

    async def _serve_open(self, peer: WebSocketConnection, client: EventClient, interest: Interest) -> None:
        _echo(peer)
        self.peers.add(peer)
        try:
            peer.start()
            await peer.until_closed()
        finally:
            self.peers.discard(peer)


def _echo(peer: WebSocketConnection) -> None:
    def on_text(message: bytes) -> None:
        message.decode()
        peer.send_queue.write_control(text_frame(message))

    def on_binary(message: bytes) -> None:
        peer.send_queue.write_control(binary_frame(message))

    peer.on_text, peer.on_binary = on_text, on_binary


REPLACED = (
    (fanout, "LegacyConnections", EchoListeners),
    (ingest, "Ingest", EchoIngest),
    (ingest, "Stream", EchoStream),
    (call_events, "Clients", EchoClients),
)


def main() -> int:
    """Run the actor that the command line names."""
    name = sys.argv[1]
    for module, part, echoing in REPLACED:
        setattr(module, part, echoing)
    return run_actor(name, importlib.import_module(f"actors.{name}.actor").run)


if __name__ == "__main__":
    sys.exit(main())
