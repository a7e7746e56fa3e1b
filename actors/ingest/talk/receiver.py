"""Receives talk from fan-outs for the router; talk that comes before its stream waits a moment, or is forwarded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.ingest.talk.pending import PendingTalk
from patchbay.protocol import batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.ingest.stream.stream import Stream
    from actors.ingest.talk.conversation import Conversation
    from actors.ingest.talk.router import TalkRouter

    # Called with a message, the offset of its first piece, streams by call, their conversations, and the time. Returns
    # the offset of the first piece that was not taken.
    TakeTalk = Callable[[bytes, int, dict[bytes, Stream], dict[Stream, Conversation], float], int]

log = logging.getLogger(__name__)


class TalkReceiver:
    """Receives all talk of one ingest process, and what the bridge says.

    Args:
        streams: the live streams, by call.
        take_talk: takes plain talk in C; None where that is not built.
        on_superseded: called with a stream whose call has a later stream on another node, and the time.

    Attributes:
        forward: sends talk to a successor; returns False when nobody took it.
        next_due: when `send_due` has more to do, as it was last found; None when nothing waited.
        failed: pieces, or messages, that were lost by faults in this program.
    """

    def __init__(
        self,
        talk_router: TalkRouter,
        streams: dict[bytes, Stream],
        take_talk: TakeTalk | None,
        on_superseded: Callable[[Stream, float], object] = lambda stream, now: None,
    ) -> None:
        self._on_superseded = on_superseded
        self._talk_router = talk_router
        self._streams = streams
        self._take_talk_in_c = take_talk
        self._pending = PendingTalk()
        self.forward: Callable[[bytes], bool] = lambda message: False
        self.next_due: float | None = None
        self.failed = 0

    @property
    def is_waiting(self) -> bool:
        """Whether talk waits, for its stream or for its time."""
        return self._talk_router.is_waiting or bool(self._pending)

    def receive(self, message: bytes, now: float) -> None:
        """Take a message of talk from a fan-out. A fault in one piece harms no other piece."""
        try:
            for talk in batches.unpack_talk(message, self._take_plain(message, now)):
                try:
                    self._take(talk, now)
                except Exception:  # a call's outermost boundary
                    self.failed += 1
                    stream = self._streams.get(talk.call)
                    fields = {"call_control_id": talk.call.hex()} if stream is None else stream.log_fields
                    log.exception("a piece of talk was lost by a fault", extra=fields)
        except batches.BusFormatError as error:
            log.error("unreadable talk from a fan-out: %s", error)

    def _take_plain(self, message: bytes, now: float) -> int:
        """Take plain talk in C. Returns the offset of the rest."""
        if self._take_talk_in_c is None:
            return 0
        try:
            return self._take_talk_in_c(message, 0, self._streams, self._talk_router.conversations, now)
        except Exception:  # the C's outermost boundary: Python does the same
            log.exception("the routine in C has failed; talk is taken in Python from now on")
            self.failed += 1
            self._take_talk_in_c = None
            return len(message)  # a part may have been sent, and must not be sent twice

    def resume(self, stream: Stream, now: float) -> None:
        """Go on with a stream that a predecessor served, and take the talk that came before it."""
        self._talk_router.resume(stream, now)
        for talk in self._pending.take(stream.call):
            self._talk_router.take(stream, talk, now)

    def hand_over(self, stream: Stream) -> None:
        """Give the talk into a stream that waits to the successor that goes on with the stream."""
        self._talk_router.hand_over(stream, self.forward)

    def send_due(self, now: float) -> int:
        """Send talk that is due, and refuse talk whose stream has not come. Returns the number of refused pieces."""
        self.next_due = self._talk_router.send_due(now)
        expired = self._pending.take_expired(now)
        for talk in expired:
            self._talk_router.notifier.refuse(talk, "call_gone", "The call is over, or its stream was lost.")
        if (expires_at := self._pending.next_due) is not None:
            self.next_due = expires_at if self.next_due is None else min(self.next_due, expires_at)
        return len(expired)

    def _take(self, talk: batches.Talk, now: float) -> None:
        stream = self._streams.get(talk.call)
        if talk.kind == batches.TALK_SUPERSEDED:
            if stream is not None and stream.number < int.from_bytes(talk.payload, "little"):
                self._on_superseded(stream, now)
            return
        if stream is not None and not stream.is_leaving:
            self._talk_router.take(stream, talk, now)
        elif not self.forward(batches.pack_talk(*talk)):
            self._pending.add(talk, now)
