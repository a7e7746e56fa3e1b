"""One `/call-events` WebSocket: which events it asked for, and what becomes of it when it does not keep up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from actors.call_events.hub import Client, Hub
from actors.runtime.outbox import Outbox
from actors.runtime.peer import Peer, accept
from actors.wire.request import call_ids, parse_head
from actors.wire.websocket import CLOSE_SLOW

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from actors.runtime.gateway_link import Handed
    from actors.runtime.pump import Pump
    from actors.wire.request import RequestHead

MESSAGE_MAX_BYTES = 64 * 1024  # clients have nothing to say here
CONTROL_MARGIN = 64  # frames beside the events: pings, pongs, the close
BEFORE_ALL = -1  # an offset
SLOW_GRACE_S = 10.0  # a client that is too far behind has so long to read what waits, and why it is closed
SLOW_REASON = "too many events waiting; come back with since=<offset of the last one>"


class EventOutbox(Outbox):
    """An outbox whose events are never dropped one by one: at `queue_max` waiting, a client is told that it is slow.

    Attributes:
        on_caught_up: called whenever all that waited has been written.
    """

    __slots__ = ("_queue_max", "on_caught_up")

    def __init__(self, sock: socket.socket, *, queue_max: int, replay_max: int) -> None:
        super().__init__(sock, lossy_s=0.0, control_max=queue_max + replay_max + CONTROL_MARGIN)
        self._queue_max = queue_max
        self.on_caught_up: Callable[[], None] = lambda: None

    def offer(self, frame: bytes) -> bool:
        """Write an event, or let it wait; False when too many wait already."""
        if len(self._control) >= self._queue_max:
            return False
        self.write_control(frame)
        return True

    def replay(self, frames: list[bytes]) -> None:
        """Write what a client missed; what waits of that is not counted against it."""
        for frame in frames:
            self.write_control(frame)
        self._queue_max += len(self._control)

    def drain(self) -> None:
        super().drain()
        if not self.behind:
            self.on_caught_up()


async def serve_client(
    handed: Handed, pump: Pump, hub: Hub, peers: set[Peer], *, queue_max: int, replay_max: int
) -> None:
    """Serve a connection until either side ends it. It is in `peers` meanwhile, to be asked whether it is there."""
    head = parse_head(handed.head)
    outbox = EventOutbox(handed.sock, queue_max=queue_max, replay_max=replay_max)
    slow = trio.Event()
    client = Client(outbox, wanted_calls(head, handed.claims), slow.set)
    async with accept(handed, pump, outbox, message_max_bytes=MESSAGE_MAX_BYTES) as peer:
        if peer is None:
            return
        peer.on_text = peer.on_binary = _ignore
        peers.add(peer)
        # What this process has taken, a predecessor's client can't have had: all of it is news.
        hub.join(client, welcome=not handed.resumed, since=BEFORE_ALL if handed.resumed else _since(head))
        try:
            peer.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_when_slow, peer, outbox, slow, nursery.cancel_scope)
                await peer.until_closed()
                nursery.cancel_scope.cancel()
        finally:
            hub.leave(client)
            peers.discard(peer)


def wanted_calls(head: RequestHead, claims: dict[str, object] | None) -> frozenset[str] | None:
    """The calls whose events a client gets: those it names, of those it may have. None: all."""
    named = frozenset(call_ids(head)) or None
    if claims is None or claims.get("calls") == "*":
        return named
    granted = claims.get("calls")
    allowed = frozenset(call for call in granted if isinstance(call, str)) if isinstance(granted, list) else frozenset()
    return allowed if named is None else allowed & named


async def _close_when_slow(peer: Peer, outbox: EventOutbox, slow: trio.Event, scope: trio.CancelScope) -> None:
    await slow.wait()
    caught_up = trio.Event()
    outbox.on_caught_up = caught_up.set
    with trio.move_on_after(SLOW_GRACE_S):
        await caught_up.wait()
    await peer.close(CLOSE_SLOW, SLOW_REASON)
    scope.cancel()


def _since(head: RequestHead) -> int | None:
    """The offset a client asks to resume after; one that can't be read is before everything."""
    text = head.first("since")
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else BEFORE_ALL


def _ignore(message: bytes) -> None:
    del message
