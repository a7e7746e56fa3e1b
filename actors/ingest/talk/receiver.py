"""Talk from fan-outs on its way to the streams it is for; what comes before its stream waits a little, or is passed on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.ingest.talk.pending import PendingTalk
from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.ingest.stream import Stream
    from actors.ingest.talk.conversation import Conversation
    from actors.ingest.talk.router import TalkRouter

    # (message, where its pieces begin, streams by call, their conversations, now): where the first piece begins that is left.
    TakeTalk = Callable[[bytes, int, dict[bytes, Stream], dict[Stream, Conversation], float], int]

log = logging.getLogger(__name__)


class TalkReceiver:
    """Of one ingest process.

    Args:
        streams: the live ones, by call.
        take_talk: does faster what is plain about talk, where it is there.

    Attributes:
        pass_on: gives a piece of talk to a successor, when there is one.
        next_due: when `due` has more to do, as it was found last; None when nothing waited.
        failed: pieces, or messages, that a fault of ours has cost.
    """

    def __init__(self, talk_router: TalkRouter, streams: dict[bytes, Stream], take_talk: TakeTalk | None) -> None:
        self._talk_router = talk_router
        self._streams = streams
        self._take_talk_in_c = take_talk
        self._early = PendingTalk()
        self.pass_on: Callable[[bytes], bool] = lambda message: False
        self.next_due: float | None = None
        self.failed = 0

    @property
    def is_waiting(self) -> bool:
        """Whether talk waits, for its stream or for its time."""
        return self._talk_router.is_waiting or bool(self._early)

    def take(self, message: bytes, now: float) -> None:
        """Take a message of talk from a fan-out. A fault of ours in one piece harms no other."""
        try:
            for talk in batches.unpack_talk(message, self._take_plain(message, now)):
                try:
                    self._take(talk, now)
                except Exception:  # a call's outermost boundary
                    self.failed += 1
                    stream = self._streams.get(talk.call)
                    about = {"call_control_id": talk.call.hex()} if stream is None else stream.about
                    log.exception("a piece of talk was not dealt with", extra=about)
        except batches.BusFormatError as error:
            log.error("unreadable talk: %s", error)

    def _take_plain(self, message: bytes, now: float) -> int:
        """Take what is plain about a message in C. Returns where the rest begins."""
        if self._take_talk_in_c is None:
            return 0
        try:
            return self._take_talk_in_c(message, 0, self._streams, self._talk_router.conversations, now)
        except Exception:  # the C's outermost boundary: the Python does the same
            log.exception("the routine in C has failed; talk is taken in Python from now on")
            self.failed += 1
            self._take_talk_in_c = None
            return len(message)  # a part was sent perhaps, and must not be said twice

    def resume(self, stream: Stream, now: float) -> None:
        """A predecessor has served this stream, and what is said may have been here before it."""
        self._talk_router.resume(stream, now)
        for talk in self._early.claim(stream.call):
            self._talk_router.take(stream, talk, now)

    def hand_over(self, stream: Stream) -> None:
        """Give what waits of the talk into a stream to the successor that goes on with the stream."""
        self._talk_router.hand_over(stream, self.pass_on)

    def due(self, now: float) -> int:
        """Send what is due by now, and refuse what has waited in vain. Returns how many pieces that were."""
        self.next_due = self._talk_router.due(now)
        expired = list(self._early.expired(now))
        for talk in expired:
            self._talk_router.refuse(talk, "call_gone", "The call is over, or its stream was lost.")
        if (next_early := self._early.next_due) is not None:
            self.next_due = next_early if self.next_due is None else min(self.next_due, next_early)
        return len(expired)

    def _take(self, talk: batches.Talk, now: float) -> None:
        stream = self._streams.get(talk.call)
        if stream is not None and not stream.leaving:
            self._talk_router.take(stream, talk, now)
        elif not self.pass_on(batches.pack_talk(*talk)):
            self._early.keep(talk, now)
