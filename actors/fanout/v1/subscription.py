"""One call on a `patchbay.v1` connection: which of its tracks are heard, and what the client is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.fanout.calls.subscriber import CANNOT_BE_HEARD, unheard_detail
from patchbay.protocol import batches, telnyx
from patchbay.protocol.v1 import control
from patchbay.protocol.v1 import frames as v1
from patchbay.websocket.frames import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.fanout.calls.call import Call
    from actors.fanout.calls.call_audio import CallAudio
    from actors.fanout.calls.encodings import GroupKey
    from actors.fanout.v1.state import SubscriptionState
    from patchbay.handover.connection import HandedConnection
    from patchbay.protocol.batches import EndReason
    from patchbay.websocket.send_queue import SendQueue

NEVER_HEARD: Final = [-1, -1]
_CHOICES: Final[dict[frozenset[str], GroupKey]] = {
    frozenset(): ("v1", "none"),
    frozenset({"inbound"}): ("v1", "inbound"),
    frozenset({"outbound"}): ("v1", "outbound"),
    frozenset({"inbound", "outbound"}): ("v1", "both"),
}


class Client(Protocol):
    """The connection that a subscription is of."""

    @property
    def handed(self) -> HandedConnection: ...

    @property
    def send_queue(self) -> SendQueue: ...

    @property
    def may_talk(self) -> bool: ...

    def about_to_tell(self) -> None:
        """What is written next is something that a successor must know to have been written."""

    def floor_changed(self, call: Call) -> None: ...

    def call_ended(self, call: Call, reason: EndReason) -> None: ...


class Subscription:
    """A `Subscriber` of one call. Its tracks never change: another one takes its place, with the same number.

    Attributes:
        call_number: the call's on this connection.
        peaks: whether the client wants those too.
        stream: the number of the stream that the client has been told of, 0 for none.
        digest: of the start frame that it was told of, 0 where that is not known.
        heard: the positions of the last frames that a predecessor delivered.
        playout: how it is heard, by the client's last report joined with what we know.
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
        heard: list[int] | None = None,
    ) -> None:
        self._client = client
        self._digest = batches.digest(call_control_id)
        self._call_bytes = call_number.to_bytes(2, "little")
        self.call_number = call_number
        self.call_control_id = call_control_id
        self.key = _CHOICES[frozenset(tracks)]
        self.calls: set[Call] = set()
        self.candidates = self.calls
        self.peaks = peaks
        self.stream = stream
        self.digest = digest
        self.heard = heard or NEVER_HEARD
        self.playout: dict[str, Any] | None = None
        self._write = client.send_queue.write
        is_first = call_number == v1.FIRST_CALL
        self.send_queue: SendQueue | None = client.send_queue if is_first else None
        self.write: Callable[[bytes], None] = client.send_queue.write if is_first else self._write_renumbered
        self.write_replay: Callable[[bytes], None] = self.write

    @classmethod
    def resumed(cls, client: Client, note: SubscriptionState) -> Subscription:
        """As a predecessor left it."""
        return cls(
            client,
            note.call_number,
            note.call_control_id,
            note.tracks,
            peaks=note.peaks,
            stream=note.stream,
            digest=note.digest,
            heard=note.heard,
        )

    # ---- as the registry of calls sees it

    @property
    def number(self) -> int:
        """The connection's."""
        return self._client.handed.id

    @property
    def handed(self) -> HandedConnection:
        return self._client.handed

    @property
    def track(self) -> str:
        return self.key[1]

    @property
    def tracks(self) -> list[str]:
        """Those that are heard."""
        return next(sorted(tracks) for tracks, key in _CHOICES.items() if key == self.key)

    @property
    def person(self) -> Subscription | None:
        """Somebody, if there is anything to be heard."""
        return None if self.track == "none" else self

    @property
    def names_calls(self) -> bool:
        return True

    def wants(self, call: Call) -> bool:
        return call.digest == self._digest

    def digests(self) -> list[bytes]:
        return [self._digest]

    def topics(self) -> list[bytes]:
        return [] if self.track == "none" else [self._digest]

    def heard_before(self, stream: int) -> list[int]:
        return self.heard if stream == self.stream else NEVER_HEARD

    def was_told(self, stream: int) -> bool:
        return stream == self.stream

    def begins(self, call: Call) -> None:
        """The stream, unless the client knows it, and who has the floor."""
        if not self.was_told(call.number) or self.digest not in (0, call.start.digest):
            self.stream, self.digest = call.number, call.start.digest
            self._client.about_to_tell()
            form = v1.wire_format(call.start.media_format)
            self._say(
                "stream",
                stream=v1.stream_number(call.number),
                stream_id=call.start.stream_id,
                format={"codec": form.codec, "sample_rate": form.sample_rate},
                tracks=self.tracks,
                start=control.start_object(call.start.raw),
            )
        self._say_floor(call)

    def ends(self, call: Call, reason: EndReason, frame: bytes) -> None:
        del frame
        self._client.call_ended(call, reason)
        self.stream_ended(reason)

    def begun(self) -> list[int]:
        return [self.stream] if self.stream else []

    def ended_meanwhile(self, stream: int, reason: EndReason, frame: bytes) -> None:
        del stream, frame
        self.stream_ended(reason)

    def stream_ended(self, reason: EndReason) -> None:
        """The stream that the client knows is over."""
        ended, self.stream = v1.stream_number(self.stream), 0
        self._client.about_to_tell()
        self._say("stream.ended", stream=ended, reason=reason)

    def errs(self, call: Call, frame: bytes) -> None:
        told = telnyx.decode(frame)
        if isinstance(told, telnyx.StreamError):
            text = control.error(told.code, told.title, told.detail, call=self.call_number)
            self._client.send_queue.write_control(text_frame(text))

    def unheard(self, call: CallAudio) -> None:
        """In words for the user."""
        text = control.error(*CANNOT_BE_HEARD, unheard_detail(call), call=self.call_number)
        self._client.send_queue.write_control(text_frame(text))

    def floor_changed(self, call: Call) -> None:
        self._client.floor_changed(call)
        self._say_floor(call)

    # ---- words

    def say_subscribed(self, request_id: int | None, *, is_live: bool) -> None:
        """The answer to `subscribe`."""
        state = "live" if is_live else "waiting"
        self._say("subscribed", request_id, call_control_id=self.call_control_id, state=state)

    def _say_floor(self, call: Call) -> None:
        holder: dict[str, object] | None = None
        if call.talker is not None:
            holder = {"you": call.talker == self.number}
            if self._client.may_talk and call.talker_sub:
                holder["sub"] = call.talker_sub
        self._say("floor", holder=holder)

    def _say(self, kind: str, request_id: int | None = None, **fields: object) -> None:
        text = control.message(kind, request_id, call=self.call_number, **fields)
        self._client.send_queue.write_control(text_frame(text))

    def _write_renumbered(self, frames: bytes) -> None:
        self._write(v1.renumbered(frames, self._call_bytes))
