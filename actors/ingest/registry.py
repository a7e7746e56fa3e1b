"""Decides which stream has a call: the newest connection of the call. Older ones are closed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.ingest.contest import Contests
from patchbay.protocol import batches, events
from patchbay.protocol.errors import CLOSE_NORMAL

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection

    from actors.ingest.closer import Closer
    from actors.ingest.contest import Contest
    from actors.ingest.notifier import Notifier
    from actors.ingest.stream.stream import Stream
    from actors.ingest.talk.router import TalkRouter
    from patchbay.bus.batcher import Batcher

log = logging.getLogger(__name__)


class StreamRegistry:
    """Holds the live streams of one process, at most one of each call.

    Attributes:
        by_call: the streams by the digests of their calls; the routine in C reads this dict.
    """

    def __init__(
        self, batcher: Batcher, talk_router: TalkRouter, notifier: Notifier, closer: Closer, counters: Counter[str]
    ) -> None:
        self._batcher = batcher
        self._talk_router = talk_router
        self._notifier = notifier
        self._closer = closer
        self._counters = counters
        self._contests = Contests()
        self.by_call: dict[bytes, Stream] = {}

    @property
    def live(self) -> Collection[Stream]:
        """All streams that have their calls."""
        return self.by_call.values()

    def holds(self, stream: Stream) -> bool:
        """Tell whether the stream has its call."""
        return self.by_call.get(stream.call) is stream

    def add(self, stream: Stream, now: float) -> bool:
        """Give a stream its call, and close an older stream of it. False: a newer one has the call, and this is
        closed."""
        previous = self.by_call.get(stream.call)
        if previous is not None and previous.number > stream.number:
            self._close_superseded(stream, now)
            return False
        if previous is stream:
            self._talk_router.on_format(stream)
        elif previous is not None:
            self.supersede(previous, now)
        self.by_call[stream.call] = stream
        stream.audio.route(self._batcher.queues_of(stream.call))
        stream.peer.handed.claim(stream.call)
        return True

    def remove(self, stream: Stream, *, is_moved: bool = False) -> None:
        """Take the call from a stream that has it. `is_moved`: a successor has the stream, with its talk."""
        self._talk_router.remove(stream, is_moved=is_moved)
        del self.by_call[stream.call]
        stream.audio.detach()

    def supersede(self, stream: Stream, now: float) -> None:
        """Close a stream whose call a newer connection has, here or in another process."""
        if self.holds(stream):
            self.remove(stream)
        self._close_superseded(stream, now)

    def route(self, call: bytes) -> None:
        """Queue audio of this call (EVERY_CALL: of all calls) for the fan-outs that want it now."""
        if call == batches.EVERY_CALL:
            streams = list(self.live)
        else:
            streams = [stream] if (stream := self.by_call.get(call)) is not None else []
        for stream in streams:
            stream.audio.poll()
            stream.audio.route(self._batcher.queues_of(stream.call))

    def _close_superseded(self, stream: Stream, now: float) -> None:
        """Close a stream, once: at once as a rule, later where two streams of a call take turns."""
        if not stream.is_closing:
            self._counters["streams_superseded"] += 1
            contest = self._contests.count(stream.call, now)
            if contest.wait_s:
                self._report_contest(stream, contest)
            else:
                log.info("stream superseded by a newer one of the same call", extra=stream.log_fields)
            self._closer.add(stream, CLOSE_NORMAL, "superseded by a newer stream of this call", contest.wait_s)
        stream.start = None
        stream.audio.detach()

    def _report_contest(self, stream: Stream, contest: Contest) -> None:
        self._counters["streams_contested"] += 1
        log.warning(
            "streams of one call take turns (%d times of late): is its stream started twice? The one that has lost is"
            " closed after %.0f s",
            contest.times,
            contest.wait_s,
            extra=stream.log_fields,
        )
        payload = {"times": contest.times, "closed_after_s": contest.wait_s}
        self._notifier.record(stream, events.STREAM_CONTESTED, payload)
