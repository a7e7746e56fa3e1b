"""The listening side of one legacy connection: the calls that it wants, and the frames that it has been sent.

A listener without any call in its query or token may hear every call (authentication off, as the existing frontend
expects): all of them as JSON, which names the call, but one at a time in binary, where two calls would be noise. The
state that outlives this process is small, and is kept by the gateway: the streams whose start frame the client has got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from actors.fanout.calls.subscriber import unavailable_detail
from patchbay.protocol import batches, errors, legacy
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.calls.subscriber import EncodingKey, LiveCall
    from patchbay.handover.connection import HandedConnection
    from patchbay.protocol.legacy import ListenQuery
    from patchbay.websocket.connection import WebSocketConnection
    from patchbay.websocket.send_queue import SendQueue

# Of a talker: bytes of a Float32 sample that was cut in two; SSRC of its RTP packets; length of its messages of bare
# audio.
TalkState = tuple[bytes, bytes, int]
NO_TALK: Final[TalkState] = (b"", b"", 0)
TOLD_MAX: Final = 200  # streams remembered; an older stream can't come back
UNKNOWN: Final = 0  # in place of a start frame's digest


def topics_of(query: ListenQuery, granted: frozenset[str] | None) -> list[bytes]:
    """Return the topics that a listener needs.

    Args:
        granted: ids of the calls that it may hear; None: every call.
    """
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
    """The state of a connection that its next process needs. The process of the version before must be able to read it.

    Attributes:
        told: streams (connection numbers) whose start frame the client has got, with the frame's digest; 0: not known.
        heard: by stream, the positions of the last frames that were delivered, by track; empty after a crash.
        talk: the talker's state; likewise.
    """

    told: dict[int, int] | list[int]  # a list from a version that knew no digests
    heard: dict[int, list[int]] = {}
    talk: TalkState = NO_TALK


_encode_state = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(ListenerState).decode


class Listener:
    """A `Subscriber` and `Participant` for one connection.

    Args:
        granted: ids of the calls that it may hear; None: every call.

    Attributes:
        candidates: live calls that it wants, of which it hears one where `is_single`; the registry keeps this set.
        is_single: whether it hears one call at a time, since it named none.
        names_calls: whether it asked for certain calls, or may hear certain calls only.
        write_control: sends frames that are never dropped.
    """

    def __init__(self, peer: WebSocketConnection, query: ListenQuery, granted: frozenset[str] | None = None) -> None:
        self.peer = peer
        self.query = query
        self.send_queue: SendQueue | None = peer.send_queue
        self.write: Callable[[bytes], None] = peer.send_queue.write
        self.write_replay: Callable[[bytes], None] = peer.send_queue.write
        self.write_control = peer.send_queue.write_control
        self.key: EncodingKey = (query.format, query.track)
        self.calls: set[LiveCall] = set()
        self._granted = granted
        self._ids = frozenset(query.call_control_ids)
        self._stream_ids = frozenset(query.stream_ids)
        self.names_calls = granted is not None or bool(self._ids or self._stream_ids)
        self.is_single = query.format == "binary" and not (self._ids or self._stream_ids)
        self.candidates: set[LiveCall] = set() if self.is_single else self.calls
        self._known: dict[int, int] = {}
        self._delivered: dict[int, list[int]] = {}

    @property
    def number(self) -> int:
        """Return the connection's number."""
        return self.peer.handed.id

    @property
    def handed(self) -> HandedConnection:
        return self.peer.handed

    @property
    def track(self) -> str:
        return self.query.track

    @property
    def participant(self) -> Listener:
        """Return this, as a listener of its calls."""
        return self

    def wants(self, call: LiveCall) -> bool:
        """Return whether the client asked for this call, and may hear it."""
        if self._granted is not None and call.call_control_id not in self._granted:
            return False
        if not self._ids and not self._stream_ids:
            return self._granted is not None or not call.is_remote
        return call.call_control_id in self._ids or (call.start.stream_id or "") in self._stream_ids

    def topics(self) -> list[bytes]:
        """Return the topics that it needs, before its calls are live, so that no first frame is missed.

        Only a start frame tells which call a stream is of, so a listener that names a stream needs all calls.
        """
        return topics_of(self.query, self._granted)

    def digests(self) -> list[bytes] | None:
        """Return the digests of the calls that it may want; None: any call."""
        topics = self.topics()
        return None if batches.EVERY_CALL in topics else topics

    def on_started(self, call: LiveCall) -> None:
        """Send the start frame, verbatim, unless the client has got the same frame of this stream."""
        if self._known.get(call.number) not in (call.start.digest, UNKNOWN):
            self._known.pop(call.number, None)
            if len(self._known) >= TOLD_MAX:
                del self._known[next(iter(self._known))]
            self._known[call.number] = call.start.digest
            self._send_with_state(text_frame(call.start.raw))

    def on_stopped(self, call: LiveCall, reason: batches.EndReason, frame: bytes) -> None:
        """Send the stop frame, verbatim, if there was one."""
        self.on_stopped_before(call.number, reason, frame)

    def started_streams(self) -> list[int]:
        """Return the streams whose start frame the client has got, and no stop frame."""
        return list(self._known)

    def on_stopped_before(self, stream: int, reason: batches.EndReason, frame: bytes) -> None:
        """Send the stop frame, verbatim, if there was one."""
        del reason
        if frame:
            self._known.pop(stream, None)
            self._send_with_state(text_frame(frame))

    def on_error(self, call: LiveCall, frame: bytes) -> None:
        """Send the error frame, verbatim."""
        self.write_control(text_frame(frame))

    def on_unavailable(self, encoding: str) -> None:
        """Send an error with an explanation for the user."""
        self.write_control(text_frame(legacy.error_message(*errors.CANNOT_BE_HEARD, unavailable_detail(encoding))))

    def on_floor_changed(self, call: LiveCall) -> None:
        """Do nothing: the legacy protocol has no message for that."""

    def send_connected(self, message: bytes) -> None:
        """Send the first message."""
        self._send_with_state(text_frame(message))

    def knows_stream(self, stream: int) -> bool:
        """Return whether the client has got this stream's start frame."""
        return stream in self._known

    def delivered_before(self, stream: int) -> list[int]:
        """Return the positions of the last frames that a predecessor delivered, by track; -1: not known."""
        return self._delivered.get(stream, [-1, -1])

    def save_state(self, talk: TalkState = NO_TALK) -> None:
        """Save the state for a successor that goes on with the next frame, and with the next message of the talker."""
        positions = {call.number: call.positions_of(self) for call in self.calls}
        self.peer.handed.set_state(_encode_state(ListenerState(self._known, positions, talk)))

    def resume(self, state: bytes) -> TalkState:
        """Go on from the state that a predecessor has left. Returns the talker's state."""
        left = _decode_state(state)
        self._known = left.told if isinstance(left.told, dict) else dict.fromkeys(left.told, UNKNOWN)
        self._delivered = left.heard
        return left.talk

    def _send_with_state(self, frame: bytes) -> None:
        """Send a frame together with the state that is valid when the frame has been sent."""
        self.peer.handed.set_state_once_written(_encode_state(ListenerState(self._known)))
        self.write_control(frame)
