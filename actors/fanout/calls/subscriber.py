"""Types that the registry of calls and its subscribers share: an encoding's key, a call as subscribers see it, a
subscriber.

Subscribers are a legacy WebSocket, one call of a `patchbay.v1` connection, and the peak meter. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.calls.encoder import Encoder
    from patchbay.audio.g711 import Codec
    from patchbay.handover.connection import HandedConnection
    from patchbay.protocol.batches import EndReason
    from patchbay.protocol.telnyx import Start
    from patchbay.websocket.send_queue import SendQueue

# Form and tracks. The form "peaks" is measured and not sent; the tracks "none" are no audio at all.
EncodingKey = tuple[Literal["binary", "json", "v1", "peaks"], Literal["inbound", "outbound", "both", "none"]]


def unavailable_detail(encoding: str) -> str:
    """Return the user's explanation why audio in this encoding can't be played."""
    return f"This call's audio ({encoding}) can't be played here; format=json has it as it is."


class LiveCall(Protocol):
    """Shows a live call to its subscribers, read-only; `actors.fanout.calls.call.Call` implements it."""

    @property
    def digest(self) -> bytes:
        """Return the digest of the call's id, as the bus has it."""

    @property
    def number(self) -> int:
        """Return the number of the stream: of the connection that carries it. A newer stream has a higher number."""

    @property
    def call_control_id(self) -> str: ...

    @property
    def start(self) -> Start:
        """Return the stream's start frame."""

    @property
    def talker(self) -> int | None:
        """Return the number of the connection that has the floor; None: nobody has."""

    @property
    def talker_sub(self) -> str | None:
        """Return the talker's `sub`; None: not known."""

    @property
    def is_remote(self) -> bool:
        """Return whether the stream comes to another node of the cluster."""

    @property
    def owner(self) -> tuple[int, str]:
        """Return index and slot of the ingest process that carries the call: the destination of talk."""

    @property
    def talk_codec(self) -> Codec:
        """Return the codec in which talk must reach the call."""

    def encoder(self, key: EncodingKey) -> Encoder | None:
        """Return the encoder of this encoding; None while nobody is subscribed to the encoding."""

    def positions_of(self, subscriber: Subscriber) -> list[int]:
        """Return the positions of the last frames that this subscriber got, by track; -1: none."""


class Participant(Protocol):
    """Identifies the connection behind a subscriber, for the journal of who listened and talked."""

    @property
    def number(self) -> int:
        """Return the connection's number; a call's `talker` is such a number."""

    @property
    def handed(self) -> HandedConnection: ...

    @property
    def track(self) -> str:
        """Return the tracks that the connection hears of the call."""

    def knows_stream(self, stream: int) -> bool:
        """Return whether the connection was told of this stream, by this process or by its predecessor."""


class Subscriber(Protocol):
    """Gets the audio and the events of calls.

    Attributes:
        key: the encoding that it wants.
        calls: live calls whose audio it gets now; the registry keeps this set.
        candidates: live calls that it wants; the same set where it gets the audio of all of them. Kept likewise.
        is_single: whether it gets the audio of one call at a time.
        send_queue: gets the encoder's frames unchanged; None where frames must be changed, or are not sent.
        write: sends frames of the encoder, changed where necessary.
        write_replay: sends frames from before the subscriber joined, likewise.
        participant: None for a subscriber that no user is behind, which is no listener of the call.
    """

    key: EncodingKey
    calls: set[LiveCall]
    candidates: set[LiveCall]
    is_single: bool
    send_queue: SendQueue | None
    write: Callable[[bytes], None]
    write_replay: Callable[[bytes], None]

    @property
    def participant(self) -> Participant | None: ...

    @property
    def names_calls(self) -> bool:
        """Return whether it is subscribed to certain calls, and not to all."""

    def wants(self, call: LiveCall) -> bool:
        """Return whether it is subscribed to this call."""

    def digests(self) -> list[bytes] | None:
        """Return the digests of the calls that it may want; None: any call."""

    def topics(self) -> list[bytes]:
        """Return the topics on the bus that it needs: digests of calls, or `EVERY_CALL`."""

    def started_streams(self) -> list[int]:
        """Return the streams whose start the client was told, by this process or its predecessor, and not their end."""

    def delivered_before(self, stream: int) -> list[int]:
        """Return the positions of the last frames that a predecessor delivered, by track; -1: not known."""

    def on_started(self, call: LiveCall) -> None:
        """Tell the client that it hears this call from now on, or that the call has another stream."""

    def on_stopped(self, call: LiveCall, reason: EndReason, frame: bytes) -> None:
        """Tell the client that the call's stream has ended. `frame`: Telnyx's stop frame; empty where there was
        none."""

    def on_stopped_before(self, stream: int, reason: EndReason, frame: bytes) -> None:
        """Tell the client that a stream of `started_streams` had ended before this process took the connection over."""

    def on_error(self, call: LiveCall, frame: bytes) -> None:
        """Tell the client of Telnyx's error frame."""

    def on_floor_changed(self, call: LiveCall) -> None:
        """Tell the client that another talker, or nobody, has the floor of the call."""

    def on_unavailable(self, encoding: str) -> None:
        """Tell the client that a call's audio, in this codec, can't be brought into the encoding that it wants."""
