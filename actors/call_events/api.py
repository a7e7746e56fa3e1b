"""Answers `GET /api/events`: events for programs, a page at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson

from actors.call_events.clients.filter import parse_filter, reader_of
from actors.call_events.journal.interface import Unavailable
from patchbay.auth.rights import may
from patchbay.http.message import JSON_TYPE, Request, Response
from patchbay.protocol.query import BadQuery

if TYPE_CHECKING:
    from actors.call_events.clients.filter import EventFilter
    from actors.call_events.dispatcher import Dispatcher
    from actors.call_events.journal.writer import JournalWriter

PATH = "/events"
ANSWER_MAX_BYTES = 4 * 1024 * 1024
AT_ONCE_MAX = 8  # pages that one reader may wait for at once


class EventsApi:
    """Handles requests for pages of events. A reader is a token's `sub`, or an address."""

    def __init__(self, dispatcher: Dispatcher, journal: JournalWriter) -> None:
        self._dispatcher = dispatcher
        self._journal = journal
        self._asked: Counter[str] = Counter()  # waiting requests, by reader

    async def __call__(self, request: Request) -> Response:
        """Answer a request with the events after the offset `since`, or without it with the latest `limit` events.

        `next` in the answer is the `since` of the next page.
        """
        if not may(request.claims, "events"):
            return Response.text("Forbidden: needs a token with the right `events`", 403)
        who = reader_of(request.claims, request.peer)
        if self._asked[who] >= AT_ONCE_MAX:
            return Response.text(f"Too Many Requests: more than {AT_ONCE_MAX} pages at once", 429, retry_after="1")
        self._asked[who] += 1
        try:
            return await self._page(parse_filter(request.query, request.claims), who)
        except BadQuery as error:
            return Response.text(f"Bad Request: {error}", 400)
        except Unavailable as error:
            return Response.text(f"Service Unavailable: the journal: {error}", 503, retry_after="1")
        finally:
            self._asked[who] -= 1
            if not self._asked[who]:
                del self._asked[who]

    async def _page(self, asked: EventFilter, who: str) -> Response:
        since = asked.since
        if since is None:
            since = await self._journal.reader.latest(asked.interest, asked.limit, who=who)
        page = await self._journal.reader.page(
            asked.interest, since, who=who, limit=asked.limit, max_bytes=ANSWER_MAX_BYTES
        )
        from_here = max(page.oldest, self._journal.session.first) - 1
        answer = {
            "events": [orjson.Fragment(entry.text) for entry in page.entries],
            "next": page.upto,  # also for a `since` of another journal, which may be ahead of this one
            "epoch": self._dispatcher.epoch,
            "recovered": asked.since is None or from_here <= since <= max(self._dispatcher.tail.last, page.upto),
            "more": len(page.entries) == asked.limit or page.upto < self._dispatcher.tail.last,
        }
        return Response(200, orjson.dumps(answer), JSON_TYPE)
