"""Serves the WebSockets of `/call-events`, from the handshake, or from a predecessor's cursor, to their end."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import trio

from actors.call_events.clients.cursor import Cursor, LostCursor, decode_cursor, walk
from actors.call_events.clients.event_writer import EventWriter
from actors.call_events.clients.filter import parse_filter, reader_of
from actors.call_events.journal.interface import Unavailable
from patchbay.auth.rights import may
from patchbay.auth.session import Session
from patchbay.http.head import parse_known_head
from patchbay.net.rate_limit import RateLimits
from patchbay.net.tcp_info import NO_COUNT, bytes_written
from patchbay.protocol.errors import CLOSE_SLOW
from patchbay.protocol.query import BadQuery
from patchbay.websocket.accept import accept
from patchbay.websocket.frames import text_frame
from patchbay.websocket.handshake import refuse

if TYPE_CHECKING:
    from actors.call_events.clients.filter import EventFilter
    from actors.call_events.dispatcher import Dispatcher
    from actors.call_events.entry import Entry, Interest
    from actors.call_events.journal.writer import JournalWriter
    from config.settings import EventSettings
    from patchbay.auth.tokens import Verifier
    from patchbay.handover.connection import HandedConnection
    from patchbay.net.poller import Poller
    from patchbay.websocket.connection import WebSocketConnection

log = logging.getLogger(__name__)

GRACE_S = 10.0  # in which an evicted client may read the current bytes
RETRY_S = 0.5  # between attempts to read older events
GONE_REASON = "events that you have not had are not kept any more; come back with since=<offset of the last one>"


class EventClient(EventWriter):
    """Writes events to one client, until the dispatcher evicts it."""

    __slots__ = ("evicted", "reason")

    def __init__(self, handed: HandedConnection, dispatcher: Dispatcher, interest: Interest) -> None:
        super().__init__(handed, dispatcher.tail, interest)
        self.evicted = trio.Event()
        self.reason = ""

    def evict(self, reason: str) -> None:
        """Stop writing events. The connection is closed with the reason, once the current bytes were written."""
        if not self.evicted.is_set():
            self.stop()
            self.reason = reason
            self.evicted.set()


class Clients:
    """Serves the connections of all clients.

    Args:
        settings: limits of the messages of clients.
        verifier: verifies renewed tokens; None: authentication is off.

    Attributes:
        peers: the open connections, for keepalive.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        journal: JournalWriter,
        poller: Poller,
        settings: EventSettings,
        verifier: Verifier | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._journal = journal
        self._poller = poller
        self._settings = settings
        self._verifier = verifier
        self._rate_limits = RateLimits(
            settings.messages_per_s,
            settings.messages_burst,
            token_per_s=settings.token_messages_per_s,
            token_burst=settings.token_messages_burst,
        )
        self.peers: set[WebSocketConnection] = set()

    async def serve(self, handed: HandedConnection) -> None:
        """Serve a connection until either side ends it, or it is parked for a successor."""
        head = parse_known_head(handed.head)
        if not may(handed.claims, "events"):
            refuse(handed.sock, 403, "Forbidden: needs a token with the right `events`")
            return
        if not self._journal.session.ready.is_set() and not handed.resumed:
            refuse(handed.sock, 503, "Service Unavailable: the journal can't be opened")
            return
        await self._journal.session.ready.wait()
        try:
            asked = parse_filter(head.query, handed.claims)
        except BadQuery as error:
            if not handed.resumed:  # a resumed client, accepted by another version, is disconnected, and comes back
                refuse(handed.sock, 400, f"Bad Request: {error}")
            return
        client = EventClient(handed, self._dispatcher, asked.interest)
        try:
            found = await self._find_cursor(handed, asked.interest)
        except LostCursor as lost:
            log.warning("connection %d is ended, and its client must come back: %s", handed.id, lost)
            return
        limit, rate_limit = self._settings.message_max_bytes, self._rate_limits.of(handed.claims)
        async with accept(handed, self._poller, client, message_max_bytes=limit, rate_limit=rate_limit) as peer:
            if peer is not None:
                self._start(client, asked, found)
                await self._serve_open(peer, client, asked.interest)

    def _start(self, client: EventClient, asked: EventFilter, found: tuple[Cursor, int, bytes] | None) -> None:
        if found is not None:
            client.resume(*found)
            return
        offset, recovered = self._first_offset(asked.since)
        resume = asked.since is not None
        first = self._dispatcher.welcome(asked.interest, resume=resume, recovered=recovered, snapshot=asked.snapshot)
        client.start(self._dispatcher.epoch, offset, first)

    def _first_offset(self, since: int | None) -> tuple[int, bool]:
        """Return the offset after which a new client begins, and whether no event is missing after its `since`."""
        last, before_all = self._dispatcher.tail.last, self._journal.session.oldest - 1
        if since is None:
            return last, True
        return min(max(since, before_all), last), max(before_all, self._journal.session.first - 1) <= since <= last

    async def _find_cursor(self, handed: HandedConnection, interest: Interest) -> tuple[Cursor, int, bytes] | None:
        """Return a predecessor's cursor, its offset, and its unwritten bytes; None: no cursor was set.

        Raises:
            LostCursor: the connection can't be continued.
        """
        if not handed.resumed or not handed.state:
            return None
        cursor, unsent = decode_cursor(handed.state), handed.unsent
        handed.unsent = b""  # the unwritten bytes are computed here
        if cursor.epoch != self._dispatcher.epoch:
            raise LostCursor("the journal was replaced")
        if cursor.written == NO_COUNT:
            return cursor, cursor.offset, unsent
        written, who = bytes_written(handed.sock), reader_of(handed.claims, handed.peer)
        try:
            found = await self._walk(cursor, written, interest, who)
            if found is None:
                await self._journal.session.refresh()  # the predecessor, which may still be writing, has committed more
                found = await self._walk(cursor, written, interest, who)
        except Unavailable as error:
            raise LostCursor(str(error)) from error
        if found is None:
            raise LostCursor("more bytes were written than the events have")
        return cursor, *found

    async def _walk(self, cursor: Cursor, written: int, interest: Interest, who: str) -> tuple[int, bytes] | None:
        tail, offset = self._dispatcher.tail, cursor.offset
        if offset >= tail.before:
            return walk(cursor, written, (entry for entry in tail.entries_after(offset) if interest.wants(entry)))
        entries: list[Entry] = []
        found = walk(cursor, written, entries)
        while found is None and offset < tail.last:
            page = await self._journal.reader.page(interest, offset, who=who)
            if page.oldest > offset + 1:
                raise LostCursor("the next events are not kept any more")
            entries, offset = [*entries, *page.entries], page.upto
            found = walk(cursor, written, entries)
        return found

    async def _serve_open(self, peer: WebSocketConnection, client: EventClient, interest: Interest) -> None:
        session = Session(peer.handed, self._verifier, "events")
        peer.on_text = partial(_receive, client, session)
        self.peers.add(peer)
        self._dispatcher.join(client)
        try:
            peer.start()
            async with trio.open_nursery() as nursery:
                who = reader_of(peer.handed.claims, peer.handed.peer)
                nursery.start_soon(self._feed_old_events, client, interest, who)
                nursery.start_soon(_close_when_evicted, peer, client, nursery.cancel_scope)
                await peer.until_closed()
                nursery.cancel_scope.cancel()
        finally:
            self._dispatcher.leave(client)
            self.peers.discard(peer)

    async def _feed_old_events(self, client: EventClient, interest: Interest, who: str) -> None:
        """Feed a client events that are only in the journal, as fast as it reads, until cancelled."""
        while True:
            await client.starved.wait()
            client.starved = trio.Event()
            while client.cursor < self._dispatcher.tail.before and not client.evicted.is_set():
                await client.until_idle()
                try:
                    page = await self._journal.reader.page(interest, client.cursor, who=who)
                except Unavailable:
                    await trio.sleep(RETRY_S)
                    continue
                if page.oldest > client.cursor + 1 or client.epoch != self._dispatcher.epoch:
                    client.evict(GONE_REASON)
                    return
                await client.until_idle()
                client.feed(b"".join(entry.frame for entry in page.entries), page.upto)


async def _close_when_evicted(peer: WebSocketConnection, client: EventClient, scope: trio.CancelScope) -> None:
    await client.evicted.wait()
    with trio.move_on_after(GRACE_S):
        await client.until_idle()
    await peer.close(CLOSE_SLOW, client.reason)
    scope.cancel()


def _receive(client: EventClient, session: Session, message: bytes) -> None:
    """Handle a client's message: a newer token; all others are ignored. Raises UnicodeDecodeError."""
    message.decode()
    if b'"auth"' in message:
        client.write_control(text_frame(session.renew(message, time.time())))
