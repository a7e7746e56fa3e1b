"""One browser's socket: what it asked to hear, and what it has been told so far.

A listener without any call in its query or token may hear every call (authentication off, as the existing frontend
expects): all of them as JSON, which names them, but one at a time in binary, where two would be noise. What must
survive this process is small and lies in its note at the gateway: the streams whose start frame it has had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from actors.fanout.calls.subscriber import unheard_detail
from patchbay.protocol import batches, errors, legacy
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.calls.call import Call
    from actors.fanout.calls.call_audio import CallAudio
    from actors.fanout.calls.encodings import GroupKey
    from patchbay.handover.connection import HandedConnection
    from patchbay.protocol.legacy import ListenQuery
    from patchbay.websocket.connection import WebSocketConnection
    from patchbay.websocket.send_queue import SendQueue

# The bytes of a Float32 sample that was cut in two; the source of a talker's RTP packets; the length of bare audio.
TalkNote = tuple[bytes, bytes, int]
NO_TALK: Final[TalkNote] = (b"", b"", 0)
TOLD_MAX: Final = 200  # streams remembered; an older one can't come back
UNKNOWN: Final = 0  # in place of a start frame's digest


def topics_of(query: ListenQuery, granted: frozenset[str] | None) -> list[bytes]:
    """What has to come for a listener that asks for this, and may hear the calls `granted` (None: every call)."""
    if query.call_control_ids and not query.stream_ids:
        wanted = frozenset(query.call_control_ids)
        if granted is not None:
            wanted &= granted
    elif granted is None:
        return [batches.EVERY_CALL]
    else:
        wanted = granted
    return [batches.digest(call_control_id) for call_control_id in sorted(wanted)]


class ListenerState(msgspec.Struct, frozen=True, array_like=True):
    """What a successor must know of a listener.

    Attributes:
        told: streams (connection numbers) whose start frame it has had, each with the frame's digest; 0: not known.
        heard: the positions of the last frames of each track that were delivered, by stream; only from a predecessor that ended in order.
        talk: what a talker's next message needs; likewise.
    """

    told: dict[int, int] | list[int]  # a list of a predecessor that knew no digests
    heard: dict[int, list[int]] = {}
    talk: TalkNote = NO_TALK


_encode_note = msgspec.msgpack.Encoder().encode
_decode_note = msgspec.msgpack.Decoder(ListenerState).decode


class Listener:
    """Someone who hears calls.

    Attributes:
        key: the form of audio it asked for.
        calls: live calls that it hears now.
        candidates: live calls that it wants, of which it hears one where `is_single`; kept by the registry.
        is_single: whether it hears one call at a time, since it named none.
        names_calls: whether it asked for certain calls, or may hear certain calls only.
    """

    def __init__(self, peer: WebSocketConnection, query: ListenQuery, granted: frozenset[str] | None = None) -> None:
        self.peer = peer
        self.query = query
        self.send_queue: SendQueue | None = peer.send_queue
        self.write: Callable[[bytes], None] = peer.send_queue.write
        self.write_replay: Callable[[bytes], None] = peer.send_queue.write
        self.write_control = peer.send_queue.write_control
        self.key: GroupKey = (query.format, query.track)
        self.calls: set[Call] = set()
        self._granted = granted
        self._ids = frozenset(query.call_control_ids)
        self._stream_ids = frozenset(query.stream_ids)
        self.names_calls = granted is not None or bool(self._ids or self._stream_ids)
        self.is_single = query.format == "binary" and not (self._ids or self._stream_ids)
        self.candidates: set[Call] = set() if self.is_single else self.calls
        self._told: dict[int, int] = {}
        self._heard: dict[int, list[int]] = {}

    @property
    def number(self) -> int:
        """The connection's, by which a talker is known too."""
        return self.peer.handed.id

    @property
    def handed(self) -> HandedConnection:
        return self.peer.handed

    @property
    def track(self) -> str:
        return self.query.track

    @property
    def person(self) -> Listener:
        """Each is somebody."""
        return self

    def wants(self, call: Call) -> bool:
        """Whether a call is one of those it asked for, and may hear."""
        if self._granted is not None and call.call_control_id not in self._granted:
            return False
        if not self._ids and not self._stream_ids:
            return True
        return call.call_control_id in self._ids or (call.start.stream_id or "") in self._stream_ids

    def topics(self) -> list[bytes]:
        """The calls (digests) that are to come here for it, wanted before they are live so that no first frame is missed.

        Which call has a stream is known from its start frame only, so whoever names a stream has all of them come.
        """
        return topics_of(self.query, self._granted)

    def digests(self) -> list[bytes] | None:
        """The calls that it may want; None: any."""
        topics = self.topics()
        return None if batches.EVERY_CALL in topics else topics

    def begins(self, call: Call) -> None:
        """The start frame, verbatim, if it has not had one that says the same of this stream."""
        if self._told.get(call.number) not in (call.start.digest, UNKNOWN):
            self._told.pop(call.number, None)
            if len(self._told) >= TOLD_MAX:
                del self._told[next(iter(self._told))]
            self._told[call.number] = call.start.digest
            self._tell(text_frame(call.start.raw))

    def ends(self, call: Call, reason: batches.EndReason, frame: bytes) -> None:
        """The stop frame, verbatim."""
        self.ended_meanwhile(call.number, reason, frame)

    def begun(self) -> list[int]:
        """Those whose start frame it has had, and no stop frame."""
        return list(self._told)

    def ended_meanwhile(self, stream: int, reason: batches.EndReason, frame: bytes) -> None:
        """The stop frame, verbatim."""
        del reason
        if frame:
            self._told.pop(stream, None)
            self._tell(text_frame(frame))

    def errs(self, call: Call, frame: bytes) -> None:
        """The error frame, verbatim."""
        self.write_control(text_frame(frame))

    def unheard(self, call: CallAudio) -> None:
        """In words for the user."""
        self.write_control(text_frame(legacy.error_message(*errors.CANNOT_BE_HEARD, unheard_detail(call))))

    def floor_changed(self, call: Call) -> None:
        """The first protocol has no word for it."""

    def welcome(self, words: bytes) -> None:
        """Its first message."""
        self._tell(text_frame(words))

    def was_told(self, stream: int) -> bool:
        """Whether it has had this stream's start frame."""
        return stream in self._told

    def heard_before(self, stream: int) -> list[int]:
        """Where a predecessor was in this stream, by track: positions of the last frames delivered; -1 where that is not known."""
        return self._heard.get(stream, [-1, -1])

    def note_what_was_heard(self, talk: TalkNote = NO_TALK) -> None:
        """Before a successor takes over: let it go on with the very next frame, and with the next word."""
        heard = {call.number: call.heard_by(self) for call in self.calls}
        self.peer.handed.set_note(_encode_note(ListenerState(self._told, heard, talk)))

    def resume(self, note: bytes) -> TalkNote:
        """Go on where a predecessor was. Returns what it has left of talk."""
        left = _decode_note(note)
        self._told = left.told if isinstance(left.told, dict) else dict.fromkeys(left.told, UNKNOWN)
        self._heard = left.heard
        return left.talk

    def _tell(self, frame: bytes) -> None:
        """Write what a successor must know to have been written."""
        self.peer.handed.set_note_once_written(_encode_note(ListenerState(self._told)))
        self.write_control(frame)
