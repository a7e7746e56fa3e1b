"""What the registry of calls needs of whoever hears them: one of the first protocol's sockets, one call of a `patchbay.v1`
connection, or the meter of peaks. Says nothing of what is sent to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fanout.calls.call import Call
    from actors.fanout.calls.call_audio import CallAudio
    from actors.fanout.calls.encodings import GroupKey
    from patchbay.handover.connection import HandedConnection
    from patchbay.protocol.batches import EndReason
    from patchbay.websocket.send_queue import SendQueue


CANNOT_BE_HEARD: Final = (200020, "cannot_be_heard")


def unheard_detail(call: CallAudio) -> str:
    """Say why a call can't be heard in some form, for the user."""
    return f"This call's audio ({call.start.media_format.encoding}) can't be played here; format=json has it as it is."


class Person(Protocol):
    """Who is behind a subscriber, for the journal."""

    @property
    def number(self) -> int:
        """The connection's, by which a talker is known too."""

    @property
    def handed(self) -> HandedConnection: ...

    @property
    def track(self) -> str:
        """What of its calls it hears."""

    def was_told(self, stream: int) -> bool:
        """Whether it, or its predecessor in an earlier process, has heard this stream begin."""


class Subscriber(Protocol):
    """Hears calls.

    Attributes:
        key: the form of audio it wants.
        calls: live calls that it hears now; kept by the registry.
        candidates: live calls that it wants; the same, where it hears all of them.
        is_single: whether it hears one call at a time.
        send_queue: where frames go as the form's encoder made them; None where they are not sent as they are.
        write: takes them in any case.
        write_replay: the same, for the replay buffer before it joined.
        person: None for one that is nobody: it is not counted among a call's listeners.
    """

    key: GroupKey
    calls: set[Call]
    candidates: set[Call]
    is_single: bool
    send_queue: SendQueue | None
    write: Callable[[bytes], None]
    write_replay: Callable[[bytes], None]

    @property
    def person(self) -> Person | None: ...

    @property
    def names_calls(self) -> bool:
        """Whether it hears certain calls only."""

    def wants(self, call: Call) -> bool:
        """Whether a call is one of those."""

    def digests(self) -> list[bytes] | None:
        """The calls that it may want; None: any."""

    def topics(self) -> list[bytes]:
        """The calls (digests) whose audio is to come here for it."""

    def heard_before(self, stream: int) -> list[int]:
        """The positions of the last frames of this stream, by track, that a predecessor delivered; -1: not known."""

    def begins(self, call: Call) -> None:
        """It hears a call from now on; or the call has another stream."""

    def ends(self, call: Call, reason: EndReason, frame: bytes) -> None:
        """The call's stream is over; `frame`: Telnyx's stop frame, if there was one."""

    def begun(self) -> list[int]:
        """The streams that it, or its predecessor in an earlier process, has been told of, and not of their end."""

    def ended_meanwhile(self, stream: int, reason: EndReason, frame: bytes) -> None:
        """One of these was over before it came to us."""

    def errs(self, call: Call, frame: bytes) -> None:
        """Telnyx's error frame has come."""

    def floor_changed(self, call: Call) -> None:
        """Somebody else may talk into the call now, or nobody."""

    def unheard(self, call: CallAudio) -> None:
        """The call's audio can't be made in the form that it wants."""
