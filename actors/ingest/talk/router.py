"""Routes talk from browsers to Telnyx: decides who may talk, and when each frame leaves.

One talker has the floor of a call at a time; others are told. Frames leave in real time with a small lead, whole 20 ms
each. The policies are `actors.ingest.talk.floor` and `patchbay.audio.pacer`; here they meet calls and connections.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import TYPE_CHECKING, Final

from actors.ingest.talk.conversation import Conversation, codec_of
from actors.ingest.talk.notifier import TalkNotifier, floor_entry
from patchbay.audio.g711 import is_silent
from patchbay.audio.marks import MARKS_MAX, Mark
from patchbay.audio.pacer import duration_ms
from patchbay.protocol import batches, telnyx_commands
from patchbay.protocol.talk import BYTES_PER_S, FRAME_MS
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.ingest.stream.stream import Stream
    from config.settings import TalkSettings
    from patchbay.audio.pacer import Item
    from patchbay.bus.batcher import Batcher

REFUSAL_INTERVAL_S: Final = 1.0  # between two refusals of audio of one talker
REFUSALS_REMEMBERED: Final = 1000
SUB_MAX_BYTES: Final = 200
AUDIO: Final = (batches.TALK, batches.TALK_PREEMPT)
CLAIMS: Final = (batches.TALK_CLAIM, batches.TALK_CLAIM_PREEMPT)
PREEMPTING: Final = (batches.TALK_PREEMPT, batches.TALK_CLAIM_PREEMPT)
CLEAR: Final = text_frame(telnyx_commands.clear_message())


class TalkRouter:
    """Routes the talk into all streams of this process.

    Attributes:
        conversations: one of each stream that was talked into; the routine in C reads this dict.
    """

    def __init__(self, settings: TalkSettings, *, include_stream_id: bool, batcher: Batcher) -> None:
        self._settings = settings
        self._include_stream_id = include_stream_id
        self.notifier = TalkNotifier(batcher)
        self.conversations: dict[Stream, Conversation] = {}
        self._paced: set[Stream] = set()  # streams whose talk waits for its time

    # ---- talk

    def take(self, stream: Stream, talk: batches.Talk, now: float) -> None:
        """Send, queue or refuse a piece of talk into this stream. `patchbay/_native/ingest_talk.c` does the same with
        plain talk."""
        conversation = self._conversation(stream, now)
        if self._is_plain(conversation, talk, now):
            stream.peer.write(
                conversation.message_head + b2a_base64(talk.payload, newline=False) + telnyx_commands.MEDIA_ENDS
            )
            return
        holder = conversation.holder(now)
        if talk.kind in AUDIO or talk.kind in CLAIMS:
            self._take_audio(stream, conversation, talk, holder, now)
        elif talk.kind == batches.TALK_STOP:
            self._finish(stream, conversation, talk.talker, now)
        elif talk.kind == batches.TALK_MARK_SENT:
            conversation.marks.expect(_mark_of(talk))
        elif holder not in (None, talk.talker):
            self._refuse_floor(conversation, talk, now)
        elif talk.kind == batches.TALK_CLEAR:
            self._clear(stream, conversation)
        elif talk.kind == batches.TALK_MARK:
            self._mark(stream, conversation, talk, now)
        self._publish_holder(stream, conversation, now)

    def _is_plain(self, conversation: Conversation, talk: batches.Talk, now: float) -> bool:
        """Count a frame of the holder of the floor that is to be sent at once, as nearly all talk is. False: other
        talk."""
        if talk.kind not in AUDIO:
            return False
        silent = is_silent(talk.payload, conversation.codec)
        return conversation.floor.renew(
            talk.talker, silent, now, talk.kind == batches.TALK_PREEMPT
        ) and conversation.pacer.pass_through(talk.payload, now)

    def _take_audio(
        self, stream: Stream, conversation: Conversation, talk: batches.Talk, holder: int | None, now: float
    ) -> None:
        claims = talk.kind in CLAIMS
        silent = not claims and is_silent(talk.payload, conversation.codec)
        if not conversation.floor.claim(talk.talker, silent, now, admin=talk.kind in PREEMPTING):
            self._refuse_floor(conversation, talk, now)
            return
        if claims:
            conversation.subs = {talk.talker: talk.payload[:SUB_MAX_BYTES].decode(errors="replace")}
        if holder not in (None, talk.talker):
            self._clear(stream, conversation)
        elif conversation.talker != talk.talker:
            self._send(stream, conversation, conversation.pacer.finish(now))
        conversation.talker, conversation.fanout_index = talk.talker, talk.fanout_index
        conversation.is_finishing = False
        if not claims:
            self._push(stream, conversation, talk, now)
        elif conversation.told_holder == talk.talker:  # nothing changes for the others
            self.notifier.confirm_holder(stream, conversation, talk.fanout_index)

    def _push(self, stream: Stream, conversation: Conversation, talk: batches.Talk, now: float) -> None:
        before = conversation.pacer.dropped_bytes
        self._send(stream, conversation, conversation.pacer.push(talk.payload, now))
        if dropped := conversation.pacer.dropped_bytes - before:
            self.notifier.drop(stream, conversation, "talk_too_fast", dropped * 1000 // BYTES_PER_S)

    def _finish(self, stream: Stream, conversation: Conversation, talker: int, now: float) -> None:
        """End a talker's turn: talk that waits is still sent, and the floor is the talker's until then."""
        if conversation.talker == talker:
            conversation.is_finishing = True
            self._send(stream, conversation, conversation.pacer.finish(now))
        else:
            conversation.floor.release(talker)

    def _clear(self, stream: Stream, conversation: Conversation) -> None:
        """Have Telnyx forget the talk so far. It sends all marks back then, so it gets those that waited, too."""
        waiting = conversation.pacer.clear()
        stream.peer.write(CLEAR)
        self._send(stream, conversation, waiting)

    def _mark(self, stream: Stream, conversation: Conversation, talk: batches.Talk, now: float) -> None:
        mark = _mark_of(talk)
        if conversation.marks.expect(mark):
            self._send(stream, conversation, conversation.pacer.mark(mark, now))
        else:
            self.notifier.refuse(talk, "too_many_marks", f"{MARKS_MAX} marks have not come back yet.")

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
            self.notifier.refuse(talk, "floor_taken", "Somebody else is talking into this call.")

    def _publish_holder(self, stream: Stream, conversation: Conversation, now: float) -> None:
        holder = conversation.holder(now)
        if holder != conversation.told_holder:
            self.notifier.publish_holder(stream, conversation, holder)

    # ---- time

    @property
    def is_waiting(self) -> bool:
        """Whether talk waits for its time."""
        return bool(self._paced)

    def send_due(self, now: float) -> float | None:
        """Send all talk that is due. Returns when more is due; None when nothing waits."""
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
            self._publish_holder(stream, conversation, now)
        return conversation.pacer.next_due

    def poll(self, now: float) -> None:
        """Tell of floors that are free after silence, and of talk that Telnyx did not take in time. To be called about
        once a second."""
        for stream, conversation in self.conversations.items():
            self._publish_holder(stream, conversation, now)
            if late := conversation.send_queue.dropped - conversation.late_frames:
                conversation.late_frames += late
                self.notifier.drop(stream, conversation, "talk_late", late * FRAME_MS)
            self.notifier.log_dropped(stream, conversation)

    # ---- streams

    def on_mark(self, stream: Stream, name: str) -> None:
        """Tell who asked for a mark that Telnyx has sent back."""
        conversation = self.conversations.get(stream)
        mark = None if conversation is None else conversation.marks.take(name)
        if mark is not None:
            self.notifier.return_mark(stream, mark)

    def on_format(self, stream: Stream) -> None:
        """Begin the stream's talk anew if its codec has changed. Else its floor stays the holder's."""
        conversation = self.conversations.get(stream)
        if conversation is not None and conversation.codec != codec_of(stream.start):
            self.remove(stream)

    def resume(self, stream: Stream, now: float) -> None:
        """Give the floor of a stream to the talker who had it in a predecessor, until silence frees it."""
        if stream.talker is not None:
            self._conversation(stream, now)

    def hand_over(self, stream: Stream, forward: Callable[[bytes], bool]) -> None:
        """Give all talk that waits to a successor; without one, send to Telnyx as much as the connection takes."""
        conversation = self.conversations.get(stream)
        if conversation is None:
            return
        items = conversation.pacer.take_all()
        pieces = b"".join(conversation.pack(items, stream.call))
        if pieces and not forward(pieces):
            self._flush(stream, conversation, items)

    def _flush(self, stream: Stream, conversation: Conversation, items: Sequence[Item]) -> None:
        for index, item in enumerate(items):
            if conversation.send_queue.behind:  # a connection that is far behind could not be moved
                self.notifier.drop(stream, conversation, "talk_late", duration_ms(items[index:]))
                return
            self._send(stream, conversation, [conversation.padded(item)])

    def remove(self, stream: Stream, *, is_moved: bool = False) -> None:
        """End the talk into a stream, and free its floor. `is_moved`: both go on in a successor."""
        conversation = self.conversations.pop(stream, None)
        if conversation is None or is_moved:
            return
        dropped_ms = duration_ms(conversation.pacer.take_all())
        if dropped_ms > self._settings.drain_ms:  # less is what a live talker says while the stream ends
            self.notifier.drop(stream, conversation, "talk_late", dropped_ms)
        self._publish_holder(stream, conversation, float("inf"))

    def holder(self, stream: Stream) -> int | None:
        """Return the talker who has the floor of this stream, as fan-outs know it."""
        conversation = self.conversations.get(stream)
        return None if conversation is None else conversation.told_holder

    def known_floor_entry(self, stream: Stream) -> bytes | None:
        """Return the entry about the floor for a fan-out that has just come; None when nobody has the floor."""
        conversation = self.conversations.get(stream)
        if conversation is None or conversation.told_holder is None:
            return None
        return floor_entry(stream, conversation, batches.SNAPSHOT)

    def _conversation(self, stream: Stream, now: float) -> Conversation:
        conversation = self.conversations.get(stream)
        if conversation is None:
            conversation = Conversation.create(
                self._settings, stream.start, stream.peer.send_queue, with_stream_id=self._include_stream_id
            )
            if stream.talker is not None:  # the holder when a predecessor ended
                conversation.floor.claim(stream.talker, False, now)
                conversation.talker = conversation.told_holder = stream.talker
            self.conversations[stream] = conversation
        return conversation


def _mark_of(talk: batches.Talk) -> Mark:
    return Mark(talk.payload.decode(errors="replace"), talk.talker, talk.fanout_index)
