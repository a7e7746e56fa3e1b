"""Talk into one stream: its codec, its queue, who has its floor, and which marks are expected back."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import orjson

from actors.ingest.talk.floor import Floor
from patchbay.audio.g711 import SILENCE, SILENT_CODES
from patchbay.audio.marks import Mark, Marks
from patchbay.audio.pacer import Item, TalkPacer
from patchbay.protocol import batches, telnyx
from patchbay.protocol.talk import FRAME_BASE64_BYTES, FRAME_BYTES, talk_codec
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import TalkSettings
    from patchbay.audio.g711 import Codec
    from patchbay.websocket.send_queue import SendQueue


def codec_of(start: telnyx.Start | None) -> Codec:
    """Return the codec of talk into a stream."""
    return talk_codec(start.media_format.encoding if start else "PCMU")


@dataclass(slots=True)
class Conversation:
    """Talk into one stream.

    Attributes:
        begins: all of a message of one frame that comes before the frame.
        quiet: the codes that are silence.
        send_queue: of the stream's connection.
        talker, fanout_index: who talked last, and by which process.
        is_finishing: the holder of the floor has finished, and has the floor until all that waits has been sent.
        late: frames that Telnyx had not taken in time, of those that were told.
        dropped_ms: talk that was dropped, and is not in the log yet.
    """

    codec: Codec
    pacer: TalkPacer
    floor: Floor
    begins: bytes
    quiet: bytes
    send_queue: SendQueue
    stream_id: str | None
    talker: int | None = None
    fanout_index: int = 0
    told_holder: int | None = None
    is_finishing: bool = False
    claimants: dict[int, str] = field(default_factory=dict)  # who the talkers are that have said so
    late: int = 0
    dropped_ms: int = 0
    refused_at: dict[int, float] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)

    @classmethod
    def begin(
        cls, settings: TalkSettings, start: telnyx.Start | None, send_queue: SendQueue, *, names: bool
    ) -> Conversation:
        """Make one. `names`: whether its messages name the stream."""
        codec = codec_of(start)
        pacer = TalkPacer(
            frame_bytes=FRAME_BYTES,
            silence=SILENCE[codec],
            lead_s=settings.lead_ms / 1000,
            backlog_s=settings.backlog_ms / 1000,
            drain_s=settings.drain_ms / 1000,
            tail_s=settings.release_ms / 1000,
        )
        stream_id = start.stream_id if names and start else None
        message = text_frame(telnyx.media_message(bytes(FRAME_BYTES), stream_id))
        begins = message[: -FRAME_BASE64_BYTES - len(telnyx.MEDIA_ENDS)]
        floor = Floor(settings.release_ms / 1000)
        return cls(codec, pacer, floor, begins, SILENT_CODES[codec], send_queue, stream_id)

    def holder(self, now: float) -> int | None:
        """Who has the floor. It does not fall free while talk waits for its time."""
        if self.pacer.is_waiting:
            self.floor.keep(now)
        return self.floor.holder(now)

    def floor_news(self) -> bytes:
        """Who has the floor, as others are told."""
        news: dict[str, Any] = {"talker": self.told_holder}
        if self.told_holder in self.claimants:
            news["sub"] = self.claimants[self.told_holder]
        return orjson.dumps(news)

    def message(self, item: Item) -> bytes:
        """A frame or a mark as a message to Telnyx."""
        if isinstance(item, Mark):
            return text_frame(telnyx.mark_message(item.name))
        return text_frame(telnyx.media_message(item, self.stream_id))

    def padded(self, item: Item) -> Item:
        """The same as a whole frame."""
        return item.ljust(FRAME_BYTES, SILENCE[self.codec]) if isinstance(item, bytes) else item

    def pack(self, items: list[Item], call: bytes) -> Iterator[bytes]:
        """What has waited as pieces of talk for a successor, and which marks Telnyx has."""
        for mark in self.marks.without([item for item in items if isinstance(item, Mark)]):
            yield _pack_mark(batches.TALK_MARK_SENT, mark, call)
        kind = batches.TALK_PREEMPT if self.floor.is_admin else batches.TALK
        for item in _joined(items):
            if isinstance(item, Mark):
                yield _pack_mark(batches.TALK_MARK, item, call)
            else:
                yield batches.pack_talk(kind, self.fanout_index, self.talker or 0, call, item)
        if self.is_finishing:
            yield batches.pack_talk(batches.TALK_STOP, self.fanout_index, self.talker or 0, call)


def _pack_mark(kind: int, mark: Mark, call: bytes) -> bytes:
    return batches.pack_talk(kind, mark.fanout_index, mark.talker, call, mark.name.encode())


def _joined(items: list[Item]) -> Iterator[Item]:
    """The same with frames that follow each other in one piece."""
    for kind, group in groupby(items, type):
        if kind is bytes:
            yield b"".join(item for item in group if isinstance(item, bytes))
        else:
            yield from group
