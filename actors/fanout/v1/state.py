"""What a successor must know of a `patchbay.v1` connection. Pure.

Bounded by what the gateway keeps: what would not fit is not subscribed to.
"""

from __future__ import annotations

import msgspec

PER_SUBSCRIPTION_BYTES = 62  # besides the id: all numbers at their longest, both positions included
ALONE_BYTES = 600  # of a note without subscriptions: a talk has an id, too


class SubscriptionState(msgspec.Struct, frozen=True, array_like=True):
    """`stream`: the number of the stream that the client was told of; `heard`: the positions of the last frames of each track
    of it, only from a predecessor that ended in order; `digest`: of its start frame, 0 where that is not known."""

    call_number: int
    call_control_id: str
    tracks: list[str]
    peaks: bool
    stream: int
    heard: list[int] | None = None
    digest: int = 0


class Note(msgspec.Struct, frozen=True, array_like=True):
    """`talks`: how many there were, the present one included; `talk_call`: into which call that is, "" for none."""

    subscriptions: list[SubscriptionState] = []
    last_number: int = 0
    talks: int = 0
    talk_call: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Note).decode


def encode(note: Note) -> bytes:
    """For the gateway to keep."""
    return _encode(note)


def decode(note: bytes) -> Note:
    """What a predecessor left."""
    return _decode(note)


def size_with(ids: list[str]) -> int:
    """How long a note with subscriptions to these calls may become."""
    return ALONE_BYTES + sum(len(each.encode()) + PER_SUBSCRIPTION_BYTES for each in ids)
