"""Tells talkers and fan-outs who has the floor, and which talk was refused, dropped or played."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import orjson

from patchbay.protocol import batches

if TYPE_CHECKING:
    from actors.ingest.stream.stream import Stream
    from actors.ingest.talk.conversation import Conversation
    from patchbay.audio.marks import Mark
    from patchbay.bus.batcher import Batcher

log = logging.getLogger(__name__)

# Kinds of talk that are not answered when they are refused.
UNANSWERED: Final = (batches.TALK_STOP, batches.TALK_MARK_SENT)


class TalkNotifier:
    """Queues entries about talk for fan-outs.

    Attributes:
        refused: pieces of talk that were not taken.
        dropped_ms: talk beyond the backlog, and talk that Telnyx did not take in time.
    """

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self.refused = 0
        self.dropped_ms = 0

    def refuse(self, talk: batches.Talk, title: str, detail: str) -> None:
        """Tell a talker why its talk reaches no call."""
        self.refused += 1
        if talk.kind not in UNANSWERED:
            payload = {"talker": talk.talker, "title": title, "detail": detail}
            self._tell_talker(talk.fanout_index, batches.REFUSED, talk.call, payload)

    def drop(self, stream: Stream, conversation: Conversation, title: str, dropped_ms: int) -> None:
        """Tell the talker that a part of its talk was dropped; `log_dropped` writes it to the log."""
        self.dropped_ms += dropped_ms
        conversation.dropped_ms += dropped_ms
        payload = {"talker": conversation.talker, "title": title, "dropped_ms": dropped_ms}
        self._tell_talker(conversation.fanout_index, batches.DROPPED, stream.call, payload)

    def log_dropped(self, stream: Stream, conversation: Conversation) -> None:
        """Log how much talk was dropped since the last call, if any was."""
        if conversation.dropped_ms:
            fields = {**stream.log_fields, "sub": conversation.subs.get(conversation.talker or 0, "")}
            log.warning("%d ms of talk dropped", conversation.dropped_ms, extra=fields)
            conversation.dropped_ms = 0

    def return_mark(self, stream: Stream, mark: Mark) -> None:
        """Tell who asked for a mark that Telnyx has sent it back."""
        stream_id = stream.start.stream_id if stream.start else None
        payload = {"talker": mark.talker, "name": mark.name, "stream_id": stream_id}
        self._tell_talker(mark.fanout_index, batches.MARKED, stream.call, payload)

    def publish_holder(self, stream: Stream, conversation: Conversation, holder: int | None) -> None:
        """Tell all fan-outs that another talker has the floor (None: nobody), and keep it for a successor."""
        conversation.told_holder = holder
        stream.talker = holder
        stream.peer.handed.set_state(stream.state())
        entry = floor_entry(stream, conversation)
        for queue in self._batcher.all_queues():
            queue.append(entry)
        log.info("floor %s", "released" if holder is None else f"taken by {holder}", extra=stream.log_fields)

    def confirm_holder(self, stream: Stream, conversation: Conversation, fanout_index: int) -> None:
        """Tell one fan-out, whose talker claims a floor that it has already."""
        if (queue := self._batcher.queue(fanout_index)) is not None:
            queue.append(floor_entry(stream, conversation))

    def _tell_talker(self, fanout_index: int, kind: int, call: bytes, payload: dict[str, Any]) -> None:
        if (queue := self._batcher.queue(fanout_index)) is not None:
            queue.append(batches.news_entry(kind, 0, call, orjson.dumps(payload)))


def floor_entry(stream: Stream, conversation: Conversation, flags: int = 0) -> bytes:
    """Return the entry that tells fan-outs who has the floor of a stream."""
    return batches.news_entry(batches.FLOOR, stream.number, stream.call, conversation.floor_payload(), flags)
