"""The state of a `patchbay.v1` connection that its next process needs, as the gateway keeps it. Pure.

The process of the version before must be able to read it. Its length is bounded by what the gateway keeps: a
subscription for which there is no room is refused.
"""

from __future__ import annotations

import msgspec

PER_SUBSCRIPTION_BYTES = 62  # besides the id: all numbers at their longest, both positions included
ALONE_BYTES = 600  # of a state without subscriptions: a talk has an id, too


class SubscriptionState(msgspec.Struct, frozen=True, array_like=True):
    """The state of one subscription.

    Attributes:
        stream: the number of the stream that the client was told of; 0: none.
        heard: the positions of the last frames of that stream that were delivered, by track; None after a crash.
        digest: of the stream's start frame; 0: not known.
    """

    call_number: int
    call_control_id: str
    tracks: list[str]
    peaks: bool
    stream: int
    heard: list[int] | None = None
    digest: int = 0


class ConnectionState(msgspec.Struct, frozen=True, array_like=True):
    """The state of a connection.

    Attributes:
        last_number: the last call number that was assigned.
        talks: the number of talks, the present one included.
        talk_call: the id of the call that the client talks to; "" for none.
    """

    subscriptions: list[SubscriptionState] = []
    last_number: int = 0
    talks: int = 0
    talk_call: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ConnectionState).decode


def encode(state: ConnectionState) -> bytes:
    """Encode a state for the gateway to keep."""
    return _encode(state)


def decode(state: bytes) -> ConnectionState:
    """Decode the state that the connection's previous process has left."""
    return _decode(state)


def size_with(ids: list[str]) -> int:
    """Return the greatest length of a state with subscriptions to these calls, in bytes."""
    return ALONE_BYTES + sum(len(each.encode()) + PER_SUBSCRIPTION_BYTES for each in ids)
