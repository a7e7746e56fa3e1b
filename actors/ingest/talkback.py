"""Talk from browsers to Telnyx: who may, and when each frame leaves.

One talker has the floor of a call at a time; others are told. Frames leave in real time with a small lead, whole
20 ms each. Policies are `actors.ingest.floor`'s and `actors.ingest.talk`'s; here they meet calls and connections.
"""

from __future__ import annotations

import logging
from binascii import b2a_base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from actors.ingest.floor import Floor
from actors.ingest.talk import TalkPacer
from actors.wire import bus as wire
from actors.wire import telnyx
from actors.wire.g711 import QUIET, SILENCE, is_silent
from actors.wire.talk import FRAME_BYTES, talk_codec
from actors.wire.websocket import text_frame

if TYPE_CHECKING:
    from actors.ingest.rounds import Rounds
    from actors.ingest.stream import Stream
    from actors.runtime.outbox import Outbox
    from actors.wire.g711 import Codec
    from config.settings import TalkSettings

log = logging.getLogger(__name__)

REFUSAL_INTERVAL_S: Final = 1.0  # a talker hears no more often than this that its talk is not taken
REFUSALS_REMEMBERED: Final = 1000
SUB_MAX_BYTES: Final = 200
FRAME_BASE64_BYTES: Final = len(b2a_base64(bytes(FRAME_BYTES), newline=False))
AUDIO: Final = (wire.TALK, wire.TALK_PREEMPT)
CLAIMS: Final = (wire.TALK_CLAIM, wire.TALK_CLAIM_PREEMPT)
PREEMPTING: Final = (wire.TALK_PREEMPT, wire.TALK_CLAIM_PREEMPT)


@dataclass(slots=True)
class Conversation:
    """Talk into one stream.

    Attributes:
        begins: all of a message of one frame that comes before the frame.
        quiet: the codes that are silence.
        outbox: of the stream's connection.
    """

    codec: Codec
    pacer: TalkPacer
    floor: Floor
    begins: bytes
    quiet: bytes
    outbox: Outbox
    told_holder: int | None = None
    claimants: dict[int, str] = field(default_factory=dict)  # who the talkers are that have said so
    frames: int = 0
    refused_at: dict[int, float] = field(default_factory=dict)


class Talkback:
    """Talk into all streams of this process."""

    def __init__(self, settings: TalkSettings, *, include_stream_id: bool, rounds: Rounds) -> None:
        self._settings = settings
        self._include_stream_id = include_stream_id
        self._rounds = rounds
        self.conversations: dict[Stream, Conversation] = {}
        self._paced: set[Stream] = set()  # where talk waits for its time
        self.refused = 0

    def take(self, stream: Stream, talk: wire.Talk, now: float) -> None:
        """Take talk that is for this stream, or refuse it."""
        conversation = self._conversation(stream, now)
        if self._passes(conversation, talk, now):
            stream.peer.write(conversation.begins + b2a_base64(talk.payload, newline=False) + telnyx.MEDIA_ENDS)
            conversation.frames += 1
        elif talk.kind == wire.TALK_STOP:
            if conversation.floor.holder(now) == talk.talker:
                self._send(stream, conversation, conversation.pacer.finish(now))
            conversation.floor.release(talk.talker)
            self._tell_holder(stream, conversation, now)
        elif self._has_floor(stream, conversation, talk, now):
            if talk.kind not in CLAIMS:
                self._send(stream, conversation, conversation.pacer.push(talk.payload, now))
            elif conversation.told_holder == talk.talker:  # no news for others
                self._answer_claim(stream, conversation, talk.fanout_index)
            self._tell_holder(stream, conversation, now)

    def _passes(self, conversation: Conversation, talk: wire.Talk, now: float) -> bool:
        """Whether this is what nearly all talk is: another frame of whoever has the floor, in time. It is to be sent
        then, and nothing else changes."""
        if talk.kind not in AUDIO:
            return False
        silent = is_silent(talk.payload, conversation.codec)
        return conversation.floor.goes_on(
            talk.talker, silent, now, talk.kind == wire.TALK_PREEMPT
        ) and conversation.pacer.passes(talk.payload, now)

    @property
    def is_waiting(self) -> bool:
        """Whether talk waits for its time."""
        return bool(self._paced)

    def _has_floor(self, stream: Stream, conversation: Conversation, talk: wire.Talk, now: float) -> bool:
        claims = talk.kind in CLAIMS
        silent = not claims and is_silent(talk.payload, conversation.codec)
        before = conversation.floor.holder(now)
        if not conversation.floor.offer(talk.talker, silent, now, admin=talk.kind in PREEMPTING):
            self._refuse_floor(conversation, talk, now)
            return False
        if claims:
            conversation.claimants = {talk.talker: talk.payload[:SUB_MAX_BYTES].decode(errors="replace")}
        if before not in (None, talk.talker):
            conversation.pacer.clear()
            stream.peer.write(text_frame(telnyx.clear_message()))
        return True

    def due(self, now: float) -> bool:
        """Send what is due by now. False when nothing waits anywhere."""
        for stream in list(self._paced):
            conversation = self.conversations.get(stream)
            if conversation is not None:
                self._send(stream, conversation, conversation.pacer.due(now))
            if conversation is None or conversation.pacer.next_due is None:
                self._paced.discard(stream)
        return bool(self._paced)

    def flush(self, stream: Stream) -> None:
        """Send all that waits, whatever the pace: a successor takes over, and Telnyx queues it."""
        conversation = self.conversations.get(stream)
        if conversation is not None:
            self._send(stream, conversation, conversation.pacer.flush())

    def resume(self, stream: Stream, now: float) -> None:
        """A predecessor has served this stream: whoever had the floor there has it, until it falls free."""
        if stream.talker is not None:
            self._conversation(stream, now)

    def look(self, now: float) -> None:
        """Tell of floors that have fallen free by silence alone. To be called now and then."""
        for stream, conversation in self.conversations.items():
            self._tell_holder(stream, conversation, now)

    def format_changed(self, stream: Stream) -> None:
        """The stream may want talk in another codec now; its floor stays whose it is, where that is the same."""
        conversation = self.conversations.get(stream)
        if conversation is not None and conversation.codec != _codec_of(stream):
            self.forget(stream)

    def forget(self, stream: Stream, *, moved: bool = False) -> None:
        """The stream is over, and its floor nobody's; or it has moved, and its floor with it."""
        conversation = self.conversations.pop(stream, None)
        if conversation is not None and not moved:
            self._tell_holder(stream, conversation, float("inf"))

    def holder(self, stream: Stream) -> int | None:
        """Who has the floor of this stream."""
        conversation = self.conversations.get(stream)
        return None if conversation is None else conversation.told_holder

    def floor_entry(self, stream: Stream, flags: int) -> bytes | None:
        """Who has the floor of this stream, for the bus; None when nobody has."""
        conversation = self.conversations.get(stream)
        if conversation is None or conversation.told_holder is None:
            return None
        return self._floor_entry(stream, conversation, flags)

    def _floor_entry(self, stream: Stream, conversation: Conversation, flags: int = 0) -> bytes:
        holder = conversation.told_holder
        news: dict[str, Any] = {"talker": holder}
        if holder in conversation.claimants:
            news["sub"] = conversation.claimants[holder]
        payload = orjson.dumps(news)
        return wire.news_entry(wire.FLOOR, stream.number, stream.call, payload, flags)

    def refuse(self, talk: wire.Talk, title: str, detail: str) -> None:
        """Tell a talker why its talk reaches no call."""
        self.refused += 1
        sink = self._rounds.sink(talk.fanout_index)
        if sink is not None and talk.kind != wire.TALK_STOP:
            payload = orjson.dumps({"talker": talk.talker, "title": title, "detail": detail})
            sink.append(wire.news_entry(wire.REFUSED, 0, talk.call, payload))

    def _conversation(self, stream: Stream, now: float) -> Conversation:
        conversation = self.conversations.get(stream)
        if conversation is None:
            codec = _codec_of(stream)
            given = self._settings
            pacer = TalkPacer(
                frame_bytes=FRAME_BYTES,
                silence=SILENCE[codec],
                lead_s=given.lead_ms / 1000,
                backlog_s=given.backlog_ms / 1000,
                drain_s=given.drain_ms / 1000,
            )
            floor = Floor(given.release_ms / 1000)
            outbox = stream.peer.outbox
            conversation = Conversation(codec, pacer, floor, self._begins(stream), QUIET[codec], outbox)
            if stream.talker is not None:  # who had the floor when a predecessor of this process ended
                conversation.floor.offer(stream.talker, False, now)
                conversation.told_holder = stream.talker
            self.conversations[stream] = conversation
        return conversation

    def _stream_id(self, stream: Stream) -> str | None:
        return stream.start.stream_id if self._include_stream_id and stream.start else None

    def _begins(self, stream: Stream) -> bytes:
        message = telnyx.media_message(bytes(FRAME_BYTES), self._stream_id(stream))
        return text_frame(message)[: -FRAME_BASE64_BYTES - len(telnyx.MEDIA_ENDS)]

    def _send(self, stream: Stream, conversation: Conversation, frames: list[bytes]) -> None:
        stream_id = self._stream_id(stream)
        for frame in frames:
            stream.peer.write(text_frame(telnyx.media_message(frame, stream_id)))
        conversation.frames += len(frames)
        if conversation.pacer.next_due is not None:
            self._paced.add(stream)

    def _refuse_floor(self, conversation: Conversation, talk: wire.Talk, now: float) -> None:
        last = conversation.refused_at.get(talk.talker, float("-inf"))
        if talk.kind in CLAIMS or now - last >= REFUSAL_INTERVAL_S:
            if len(conversation.refused_at) >= REFUSALS_REMEMBERED:
                conversation.refused_at.clear()
            conversation.refused_at[talk.talker] = now
            self.refuse(talk, "floor_taken", "Somebody else is talking into this call.")

    def _answer_claim(self, stream: Stream, conversation: Conversation, fanout_index: int) -> None:
        if (sink := self._rounds.sink(fanout_index)) is not None:
            sink.append(self._floor_entry(stream, conversation))

    def _tell_holder(self, stream: Stream, conversation: Conversation, now: float) -> None:
        holder = conversation.floor.holder(now)
        if holder == conversation.told_holder:
            return
        conversation.told_holder = holder
        stream.talker = holder
        stream.peer.handed.set_note(stream.note())
        entry = self._floor_entry(stream, conversation)
        for sink in self._rounds.everywhere():
            sink.append(entry)
        log.info("floor %s", "released" if holder is None else f"taken by {holder}", extra=stream.about)


def _codec_of(stream: Stream) -> Codec:
    return talk_codec(stream.start.media_format.encoding if stream.start else "PCMU")
