"""Holds the talk into one stream: codec, queue, the holder of the floor, and the marks that are expected back."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import orjson

from actors.ingest.talk.floor import Floor
from patchbay.audio.g711 import SILENCE, SILENT_CODES
from patchbay.audio.marks import Mark, Marks
from patchbay.audio.pacer import Item, TalkPacer
from patchbay.protocol import batches, telnyx, telnyx_commands
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
    """Holds the state of the talk into one stream.

    Attributes:
        message_head: the part of a message of one frame before the frame's base64.
        silent_codes: the G.711 codes that count as silence.
        send_queue: the send queue of the stream's connection.
        stream_id: the id that messages name; None: they name none.
        talker: the talker who talked last; None: nobody has.
        fanout_index: the fan-out process of that talker.
        told_holder: the holder of the floor, as fan-outs know it.
        is_finishing: the holder has finished, and keeps the floor until all that waits has been sent.
        subs: the `sub` of the talker who claimed the floor last.
        late_frames: frames that Telnyx did not take in time, and that the talker was told about.
        dropped_ms: talk that was dropped, and is not in the log yet.
        refused_at: when each talker was refused the floor last.
        marks: marks that Telnyx has not sent back.
    """

    codec: Codec
    pacer: TalkPacer
    floor: Floor
    message_head: bytes
    silent_codes: bytes
    send_queue: SendQueue
    stream_id: str | None
    talker: int | None = None
    fanout_index: int = 0
    told_holder: int | None = None
    is_finishing: bool = False
    subs: dict[int, str] = field(default_factory=dict)
    late_frames: int = 0
    dropped_ms: int = 0
    refused_at: dict[int, float] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)

    @classmethod
    def create(
        cls, settings: TalkSettings, start: telnyx.Start | None, send_queue: SendQueue, *, with_stream_id: bool
    ) -> Conversation:
        """Return the state for a stream. `with_stream_id`: whether messages to Telnyx name the stream."""
        codec = codec_of(start)
        pacer = TalkPacer(
            frame_bytes=FRAME_BYTES,
            silence=SILENCE[codec],
            lead_s=settings.lead_ms / 1000,
            backlog_s=settings.backlog_ms / 1000,
            drain_s=settings.drain_ms / 1000,
            tail_s=settings.release_ms / 1000,
        )
        stream_id = start.stream_id if with_stream_id and start else None
        message = text_frame(telnyx_commands.media_message(bytes(FRAME_BYTES), stream_id))
        message_head = message[: -FRAME_BASE64_BYTES - len(telnyx_commands.MEDIA_ENDS)]
        floor = Floor(settings.release_ms / 1000)
        return cls(codec, pacer, floor, message_head, SILENT_CODES[codec], send_queue, stream_id)

    def holder(self, now: float) -> int | None:
        """Return the talker who has the floor. It does not become free while talk waits for its time."""
        if self.pacer.is_waiting:
            self.floor.extend(now)
        return self.floor.holder(now)

    def floor_payload(self) -> bytes:
        """Return the payload of the entry that tells fan-outs who has the floor, as JSON."""
        payload: dict[str, Any] = {"talker": self.told_holder}
        if self.told_holder in self.subs:
            payload["sub"] = self.subs[self.told_holder]
        return orjson.dumps(payload)

    def message(self, item: Item) -> bytes:
        """Return the message to Telnyx for a frame or a mark, as a WebSocket frame."""
        if isinstance(item, Mark):
            return text_frame(telnyx_commands.mark_message(item.name))
        return text_frame(telnyx_commands.media_message(item, self.stream_id))

    def padded(self, item: Item) -> Item:
        """Return a frame padded with silence to its whole length, or a mark as it is."""
        return item.ljust(FRAME_BYTES, SILENCE[self.codec]) if isinstance(item, bytes) else item

    def pack(self, items: list[Item], call: bytes) -> Iterator[bytes]:
        """Return pieces of talk for a successor: marks that Telnyx has, talk that waits, the end of the talk."""
        for mark in self.marks.sent([item for item in items if isinstance(item, Mark)]):
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
    """Join frames in a row to one piece."""
    for kind, group in groupby(items, type):
        if kind is bytes:
            yield b"".join(item for item in group if isinstance(item, bytes))
        else:
            yield from group
