"""One subscription of a `patchbay.v1` connection to a call: its tracks, and the events that the client is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.fanout.calls.subscriber import unavailable_detail
from patchbay.protocol import batches, errors, telnyx
from patchbay.protocol.v1 import control
from patchbay.protocol.v1 import frames as v1

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.fanout.calls.subscriber import EncodingKey, LiveCall
    from actors.fanout.v1.state import SubscriptionState
    from patchbay.handover.connection import HandedConnection
    from patchbay.protocol.batches import EndReason
    from patchbay.websocket.send_queue import SendQueue

NOT_DELIVERED: Final = [-1, -1]
_KEYS: Final[dict[frozenset[str], EncodingKey]] = {
    frozenset(): ("v1", "none"),
    frozenset({"inbound"}): ("v1", "inbound"),
    frozenset({"outbound"}): ("v1", "outbound"),
    frozenset({"inbound", "outbound"}): ("v1", "both"),
}


class Client(Protocol):
    """The connection of a subscription."""

    @property
    def handed(self) -> HandedConnection: ...

    @property
    def send_queue(self) -> SendQueue: ...

    @property
    def may_talk(self) -> bool: ...

    def promise_state(self) -> None:
        """Register the state that is valid as soon as the frame that is written next has been sent."""

    def save_state(self) -> None:
        """Save the state now."""

    def mark_unsaved(self) -> None:
        """Save the state at the end of this round of the event loop."""

    def send(self, text: bytes) -> None:
        """Send a text message."""

    def on_floor_changed(self, call: LiveCall) -> None: ...

    def on_stopped(self, call: LiveCall, reason: EndReason) -> None: ...


class Subscription:
    """A `Subscriber` of one call. Its tracks never change: a new subscription with the same number replaces it.

    Attributes:
        call_number: the number of the call on this connection.
        peaks: whether the client wants peaks too.
        stream: the number of the stream that the client has been told of, 0 for none.
        digest: of the start frame that the client was told, 0 where that is not known.
        before: the positions of the last frames that a predecessor delivered, by track.
        playout: delays and losses, by the client's last report and the encoder's times.
    """

    is_single = False

    def __init__(
        self,
        client: Client,
        call_number: int,
        call_control_id: str,
        tracks: Sequence[str] = (),
        *,
        peaks: bool = False,
        stream: int = 0,
        digest: int = 0,
        before: list[int] | None = None,
    ) -> None:
        self._client = client
        self._digest = batches.digest(call_control_id)
        self._call_bytes = call_number.to_bytes(2, "little")
        self.call_number = call_number
        self.call_control_id = call_control_id
        self.key = _KEYS[frozenset(tracks)]
        self.calls: set[LiveCall] = set()
        self.candidates = self.calls
        self.peaks = peaks
        self.stream = stream
        self.digest = digest
        self.before = before or NOT_DELIVERED
        self.playout: dict[str, Any] | None = None
        self._write = client.send_queue.write
        is_first = call_number == v1.FIRST_CALL
        self.send_queue: SendQueue | None = client.send_queue if is_first else None
        self.write: Callable[[bytes], None] = client.send_queue.write if is_first else self._write_renumbered
        self.write_replay: Callable[[bytes], None] = self.write

    @classmethod
    def from_state(cls, client: Client, state: SubscriptionState) -> Subscription:
        """Make the subscription that a predecessor has left."""
        return cls(
            client,
            state.call_number,
            state.call_control_id,
            state.tracks,
            peaks=state.peaks,
            stream=state.stream,
            digest=state.digest,
            before=state.heard,
        )

    # ---- as a `Subscriber` and a `Participant`

    @property
    def number(self) -> int:
        """Return the connection's number."""
        return self._client.handed.id

    @property
    def handed(self) -> HandedConnection:
        return self._client.handed

    @property
    def track(self) -> str:
        return self.key[1]

    @property
    def tracks(self) -> list[str]:
        """Return the tracks that the client hears."""
        return next(sorted(tracks) for tracks, key in _KEYS.items() if key == self.key)

    @property
    def participant(self) -> Subscription | None:
        """Return this, as a listener of the call, if any track is heard."""
        return None if self.track == "none" else self

    @property
    def names_calls(self) -> bool:
        return True

    def wants(self, call: LiveCall) -> bool:
        return call.digest == self._digest

    def digests(self) -> list[bytes]:
        return [self._digest]

    def topics(self) -> list[bytes]:
        return [] if self.track == "none" else [self._digest]

    def delivered_before(self, stream: int) -> list[int]:
        return self.before if stream == self.stream else NOT_DELIVERED

    def knows_stream(self, stream: int) -> bool:
        return stream == self.stream

    def on_started(self, call: LiveCall) -> None:
        """Send `stream`, unless the client knows the stream, and `floor`."""
        if not self.knows_stream(call.number) or self.digest not in (0, call.start.digest):
            self.stream, self.digest = call.number, call.start.digest
            self._client.promise_state()
            form = v1.wire_format(call.start.media_format)
            self._send(
                "stream",
                stream=v1.stream_number(call.number),
                stream_id=call.start.stream_id,
                format={"codec": form.codec, "sample_rate": form.sample_rate},
                tracks=self.tracks,
                start=control.start_object(call.start.raw),
            )
        self._send_floor(call)

    def on_stopped(self, call: LiveCall, reason: EndReason, frame: bytes) -> None:
        del frame
        self._client.on_stopped(call, reason)
        self.send_stream_ended(reason)

    def started_streams(self) -> list[int]:
        return [self.stream] if self.stream else []

    def on_stopped_before(self, stream: int, reason: EndReason, frame: bytes) -> None:
        del stream, frame
        self.send_stream_ended(reason)

    def send_stream_ended(self, reason: EndReason) -> None:
        """Send `stream.ended` for the stream that the client knows."""
        ended, self.stream = v1.stream_number(self.stream), 0
        self._client.promise_state()
        self._send("stream.ended", stream=ended, reason=reason)

    def on_error(self, call: LiveCall, frame: bytes) -> None:
        error = telnyx.decode(frame)
        if isinstance(error, telnyx.StreamError):
            self._client.send(control.error(error.code, error.title, error.detail, call=self.call_number))

    def on_unavailable(self, encoding: str) -> None:
        self._client.send(control.error(*errors.CANNOT_BE_HEARD, unavailable_detail(encoding), call=self.call_number))

    def on_floor_changed(self, call: LiveCall) -> None:
        self._client.on_floor_changed(call)
        self._send_floor(call)

    # ---- messages

    def send_subscribed(self, request_id: int | None, *, is_live: bool) -> None:
        """Answer `subscribe`."""
        state = "live" if is_live else "waiting"
        self._send("subscribed", request_id, call_control_id=self.call_control_id, state=state)

    def _send_floor(self, call: LiveCall) -> None:
        holder: dict[str, object] | None = None
        if call.talker is not None:
            holder = {"you": call.talker == self.number}
            if self._client.may_talk and call.talker_sub:
                holder["sub"] = call.talker_sub
        self._send("floor", holder=holder)

    def _send(self, kind: str, request_id: int | None = None, **fields: object) -> None:
        self._client.send(control.message(kind, request_id, call=self.call_number, **fields))

    def _write_renumbered(self, frames: bytes) -> None:
        self._write(v1.renumbered(frames, self._call_bytes))
