"""Talk from browsers to Telnyx: who may, and when each frame leaves.

One talker has the floor of a call at a time; others are told. Frames leave in real time with a small lead, whole
20 ms each. Policies are `actors.ingest.talk.floor`'s and `patchbay.audio.pacer`'s; here they meet calls and connections.
"""

from __future__ import annotations

import logging
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any, Final

import orjson

from actors.ingest.talk.conversation import Conversation, codec_of
from patchbay.audio.g711 import is_silent
from patchbay.audio.marks import MARKS_MAX, Mark
from patchbay.audio.pacer import duration_ms
from patchbay.protocol import batches, telnyx
from patchbay.protocol.talk import BYTES_PER_S, FRAME_MS
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.ingest.batcher import Batcher
    from actors.ingest.stream import Stream
    from config.settings import TalkSettings
    from patchbay.audio.pacer import Item

log = logging.getLogger(__name__)

REFUSAL_INTERVAL_S: Final = 1.0  # a talker hears no more often than this that its talk is not taken
REFUSALS_REMEMBERED: Final = 1000
SUB_MAX_BYTES: Final = 200
AUDIO: Final = (batches.TALK, batches.TALK_PREEMPT)
CLAIMS: Final = (batches.TALK_CLAIM, batches.TALK_CLAIM_PREEMPT)
UNANSWERED: Final = (batches.TALK_STOP, batches.TALK_MARK_SENT)
PREEMPTING: Final = (batches.TALK_PREEMPT, batches.TALK_CLAIM_PREEMPT)
CLEAR: Final = text_frame(telnyx.clear_message())


class TalkRouter:
    """Talk into all streams of this process.

    Attributes:
        refused: pieces of talk that were not taken.
        dropped_ms: talk beyond the backlog, and talk that Telnyx did not take in time.
    """

    def __init__(self, settings: TalkSettings, *, include_stream_id: bool, batcher: Batcher) -> None:
        self._settings = settings
        self._include_stream_id = include_stream_id
        self._batcher = batcher
        self.conversations: dict[Stream, Conversation] = {}
        self._paced: set[Stream] = set()  # where talk waits for its time
        self.refused = 0
        self.dropped_ms = 0

    def take(self, stream: Stream, talk: batches.Talk, now: float) -> None:
        """Take talk that is for this stream, or refuse it."""
        conversation = self._conversation(stream, now)
        if self._passes(conversation, talk, now):
            stream.peer.write(conversation.begins + b2a_base64(talk.payload, newline=False) + telnyx.MEDIA_ENDS)
            return
        holder = conversation.holder(now)
        if talk.kind in AUDIO or talk.kind in CLAIMS:
            self._take_audio(stream, conversation, talk, holder, now)
        elif talk.kind == batches.TALK_STOP:
            self._finish(stream, conversation, talk.talker, now)
        elif talk.kind == batches.TALK_MARK_SENT:
            conversation.marks.add(_mark_of(talk))
        elif holder not in (None, talk.talker):
            self._refuse_floor(conversation, talk, now)
        elif talk.kind == batches.TALK_CLEAR:
            self._clear(stream, conversation)
        elif talk.kind == batches.TALK_MARK:
            self._mark(stream, conversation, talk, now)
        self._tell_holder(stream, conversation, now)

    def _passes(self, conversation: Conversation, talk: batches.Talk, now: float) -> bool:
        """Whether this is what nearly all talk is: another frame of whoever has the floor, in time, to be sent at once."""
        if talk.kind not in AUDIO:
            return False
        silent = is_silent(talk.payload, conversation.codec)
        return conversation.floor.goes_on(
            talk.talker, silent, now, talk.kind == batches.TALK_PREEMPT
        ) and conversation.pacer.pass_through(talk.payload, now)

    @property
    def is_waiting(self) -> bool:
        """Whether talk waits for its time."""
        return bool(self._paced)

    def _take_audio(
        self, stream: Stream, conversation: Conversation, talk: batches.Talk, holder: int | None, now: float
    ) -> None:
        claims = talk.kind in CLAIMS
        silent = not claims and is_silent(talk.payload, conversation.codec)
        if not conversation.floor.offer(talk.talker, silent, now, admin=talk.kind in PREEMPTING):
            self._refuse_floor(conversation, talk, now)
            return
        if claims:
            conversation.claimants = {talk.talker: talk.payload[:SUB_MAX_BYTES].decode(errors="replace")}
        if holder not in (None, talk.talker):
            self._clear(stream, conversation)
        elif conversation.talker != talk.talker:
            self._send(stream, conversation, conversation.pacer.finish(now))
        conversation.talker, conversation.fanout_index = talk.talker, talk.fanout_index
        conversation.is_finishing = False
        if not claims:
            self._push(stream, conversation, talk, now)
        elif conversation.told_holder == talk.talker:  # no news for others
            self._answer_claim(stream, conversation, talk.fanout_index)

    def _push(self, stream: Stream, conversation: Conversation, talk: batches.Talk, now: float) -> None:
        before = conversation.pacer.dropped_bytes
        self._send(stream, conversation, conversation.pacer.push(talk.payload, now))
        if dropped := conversation.pacer.dropped_bytes - before:
            self._tell_dropped(stream, conversation, "talk_too_fast", dropped * 1000 // BYTES_PER_S)

    def _finish(self, stream: Stream, conversation: Conversation, talker: int, now: float) -> None:
        """The talker has finished: what waits is still sent, and the floor is the talker's until then."""
        if conversation.talker == talker:
            conversation.is_finishing = True
            self._send(stream, conversation, conversation.pacer.finish(now))
        else:
            conversation.floor.release(talker)

    def _clear(self, stream: Stream, conversation: Conversation) -> None:
        """Play nothing more of what was said. Telnyx sends back all marks then, so it is sent those that waited, too."""
        waited = conversation.pacer.clear()
        stream.peer.write(CLEAR)
        self._send(stream, conversation, waited)

    def _mark(self, stream: Stream, conversation: Conversation, talk: batches.Talk, now: float) -> None:
        mark = _mark_of(talk)
        if conversation.marks.add(mark):
            self._send(stream, conversation, conversation.pacer.push_mark(mark, now))
        else:
            self.refuse(talk, "too_many_marks", f"{MARKS_MAX} marks have not come back yet.")

    def marked(self, stream: Stream, name: str) -> None:
        """Telnyx has sent a mark back: tell who asked for it."""
        conversation = self.conversations.get(stream)
        mark = None if conversation is None else conversation.marks.pop(name)
        if mark is not None:
            stream_id = stream.start.stream_id if stream.start else None
            news = {"talker": mark.talker, "name": name, "stream_id": stream_id}
            self._tell(mark.fanout_index, batches.MARKED, stream.call, news)

    def due(self, now: float) -> float | None:
        """Send what is due by now. Returns when there is more to do; None when nothing waits anywhere."""
        soonest: float | None = None
        for stream in list(self._paced):
            conversation = self.conversations.get(stream)
            next_due = None if conversation is None else self._send_due(stream, conversation, now)
            if next_due is None:
                self._paced.discard(stream)
            elif soonest is None or next_due < soonest:
                soonest = next_due
        return soonest

    def _send_due(self, stream: Stream, conversation: Conversation, now: float) -> float | None:
        conversation.holder(now)
        was_finishing = conversation.is_finishing
        self._send(stream, conversation, conversation.pacer.take_due(now))
        if was_finishing and not conversation.is_finishing:
            self._tell_holder(stream, conversation, now)
        return conversation.pacer.next_due

    def hand_over(self, stream: Stream, pass_on: Callable[[bytes], bool]) -> None:
        """Give all that waits to a successor, which goes on at its pace; without one to Telnyx, as far as that takes it."""
        conversation = self.conversations.get(stream)
        if conversation is None:
            return
        items = conversation.pacer.take_all()
        pieces = b"".join(conversation.pack(items, stream.call))
        if pieces and not pass_on(pieces):
            self._flush(stream, conversation, items)

    def _flush(self, stream: Stream, conversation: Conversation, items: Sequence[Item]) -> None:
        for place, item in enumerate(items):
            if conversation.send_queue.behind:  # a connection that is far behind could not be moved
                self._tell_dropped(stream, conversation, "talk_late", duration_ms(items[place:]))
                return
            self._send(stream, conversation, [conversation.padded(item)])

    def resume(self, stream: Stream, now: float) -> None:
        """A predecessor has served this stream: whoever had the floor there has it, until it falls free."""
        if stream.talker is not None:
            self._conversation(stream, now)

    def look(self, now: float) -> None:
        """Tell of floors that have fallen free by silence alone, and of talk that Telnyx did not take in time. To be
        called now and then."""
        for stream, conversation in self.conversations.items():
            self._tell_holder(stream, conversation, now)
            if late := conversation.send_queue.dropped - conversation.late:
                conversation.late += late
                self._tell_dropped(stream, conversation, "talk_late", late * FRAME_MS)
            if conversation.dropped_ms:
                about = {**stream.about, "sub": conversation.claimants.get(conversation.talker or 0, "")}
                log.warning("%d ms of talk dropped", conversation.dropped_ms, extra=about)
                conversation.dropped_ms = 0

    def format_changed(self, stream: Stream) -> None:
        """The stream may want talk in another codec now; its floor stays whose it is, where that is the same."""
        conversation = self.conversations.get(stream)
        if conversation is not None and conversation.codec != codec_of(stream.start):
            self.forget(stream)

    def forget(self, stream: Stream, *, moved: bool = False) -> None:
        """The stream is over, and its floor nobody's; or it has moved, and its floor with it."""
        conversation = self.conversations.pop(stream, None)
        if conversation is None or moved:
            return
        dropped_ms = duration_ms(conversation.pacer.take_all())
        if dropped_ms > self._settings.drain_ms:  # less is what a live talker says in the moment of the end
            self._tell_dropped(stream, conversation, "talk_late", dropped_ms)
        self._tell_holder(stream, conversation, float("inf"))

    def holder(self, stream: Stream) -> int | None:
        """Return who has the floor of this stream."""
        conversation = self.conversations.get(stream)
        return None if conversation is None else conversation.told_holder

    def floor_entry(self, stream: Stream, flags: int) -> bytes | None:
        """Who has the floor of this stream, for the bus; None when nobody has."""
        conversation = self.conversations.get(stream)
        if conversation is None or conversation.told_holder is None:
            return None
        return self._floor_entry(stream, conversation, flags)

    def _floor_entry(self, stream: Stream, conversation: Conversation, flags: int = 0) -> bytes:
        payload = conversation.floor_news()
        return batches.news_entry(batches.FLOOR, stream.number, stream.call, payload, flags)

    def refuse(self, talk: batches.Talk, title: str, detail: str) -> None:
        """Tell a talker why its talk reaches no call."""
        self.refused += 1
        if talk.kind not in UNANSWERED:
            news = {"talker": talk.talker, "title": title, "detail": detail}
            self._tell(talk.fanout_index, batches.REFUSED, talk.call, news)

    def _tell(self, fanout_index: int, kind: int, call: bytes, news: dict[str, Any]) -> None:
        """Tell one talker."""
        if (queue := self._batcher.queue(fanout_index)) is not None:
            payload = orjson.dumps(news)
            queue.append(batches.news_entry(kind, 0, call, payload))

    def _tell_dropped(self, stream: Stream, conversation: Conversation, title: str, dropped_ms: int) -> None:
        self.dropped_ms += dropped_ms
        conversation.dropped_ms += dropped_ms
        news = {"talker": conversation.talker, "title": title, "dropped_ms": dropped_ms}
        self._tell(conversation.fanout_index, batches.DROPPED, stream.call, news)

    def _conversation(self, stream: Stream, now: float) -> Conversation:
        conversation = self.conversations.get(stream)
        if conversation is None:
            names = self._include_stream_id
            conversation = Conversation.begin(self._settings, stream.start, stream.peer.send_queue, names=names)
            if stream.talker is not None:  # who had the floor when a predecessor of this process ended
                conversation.floor.offer(stream.talker, False, now)
                conversation.talker = conversation.told_holder = stream.talker
            self.conversations[stream] = conversation
        return conversation

    def _send(self, stream: Stream, conversation: Conversation, items: Sequence[Item]) -> None:
        for item in items:
            stream.peer.write(conversation.message(item))
        if conversation.pacer.next_due is not None:
            self._paced.add(stream)
        if conversation.is_finishing and not conversation.pacer.is_waiting:
            conversation.is_finishing = False
            conversation.floor.release(conversation.talker)

    def _refuse_floor(self, conversation: Conversation, talk: batches.Talk, now: float) -> None:
        last = conversation.refused_at.get(talk.talker, float("-inf"))
        if talk.kind not in AUDIO or now - last >= REFUSAL_INTERVAL_S:
            if len(conversation.refused_at) >= REFUSALS_REMEMBERED:
                conversation.refused_at.clear()
            conversation.refused_at[talk.talker] = now
            self.refuse(talk, "floor_taken", "Somebody else is talking into this call.")

    def _answer_claim(self, stream: Stream, conversation: Conversation, fanout_index: int) -> None:
        if (queue := self._batcher.queue(fanout_index)) is not None:
            queue.append(self._floor_entry(stream, conversation))

    def _tell_holder(self, stream: Stream, conversation: Conversation, now: float) -> None:
        holder = conversation.holder(now)
        if holder == conversation.told_holder:
            return
        conversation.told_holder = holder
        stream.talker = holder
        stream.peer.handed.set_note(stream.note())
        entry = self._floor_entry(stream, conversation)
        for queue in self._batcher.everywhere():
            queue.append(entry)
        log.info("floor %s", "released" if holder is None else f"taken by {holder}", extra=stream.about)


def _mark_of(talk: batches.Talk) -> Mark:
    return Mark(talk.payload.decode(errors="replace"), talk.talker, talk.fanout_index)
