"""Defines the messages between the gateway and the actors on their Unix socket, each one packet. Pure.

A packet is MessagePack. `Offer` and `Deposit` carry the descriptor of a connection beside it (SCM_RIGHTS). The gateway
and the actor may be of two versions, so tags and the order of fields must not change. `actors.gateway.router` and
`patchbay.handover.link` handle the messages.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

MAX_PACKET_BYTES = 160 * 1024  # the largest head, state, unsent bytes and claims together
MAX_STATE_BYTES = 32 * 1024
MAX_UNSENT_BYTES = 48 * 1024  # of a parked connection; one that is further behind is closed instead


class Packet(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """Holds one message."""


class Connection(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Describes a connection to a process that does not serve it yet.

    Attributes:
        id: unique over restarts of the gateway; a later connection has a higher id.
        head: the request head as the peer sent it, blank line included.
        peer: the peer's address as text.
        state: the serving actor's state, for its successor.
        unsent: output of a parked connection that was not written: the remainder of a frame, then whole frames.
        claims: the claims of the peer's token; None where authentication is off.
    """

    id: int
    kind: Literal["ws", "http"]
    head: bytes
    peer: str
    state: bytes = b""
    unsent: bytes = b""
    claims: dict[str, Any] | None = None


class Known(Protocol):
    """Describes a connection on either side: `HandedConnection`, and the gateway's `HeldConnection`."""

    id: int
    kind: Literal["ws", "http"]
    head: bytes
    peer: str
    state: bytes
    unsent: bytes
    claims: dict[str, Any] | None


def describe(known: Known) -> Connection:
    """Return the description of a connection for another process."""
    return Connection(
        id=known.id,
        kind=known.kind,
        head=known.head,
        peer=known.peer,
        state=known.state,
        unsent=known.unsent,
        claims=known.claims,
    )


# ---- from an actor to the gateway


class Hello(Packet, frozen=True):
    """Names the process. The first message of an actor to the gateway."""

    name: str
    index: int
    generation: int
    pid: int


# ---- from the gateway to an actor


class Welcome(Packet, frozen=True):
    """Accepts the hello of an actor. Offers follow."""


class Offer(Packet, frozen=True):
    """Offers a connection to an actor, with the descriptor. `resumed`: the peer has its answer to the head already."""

    connection: Connection
    resumed: bool


class Supersede(Packet, frozen=True):
    """Has an actor end a connection, since a newer one has claimed its key."""

    id: int


# ---- from an actor to the gateway, once it is welcome


class SetState(Packet, frozen=True, tag="Note"):  # the tag of earlier versions
    """Sets the state that the gateway keeps of a connection.

    Attributes:
        once_above: the state is valid once the connection has carried more bytes than that; None: now.
    """

    id: int
    state: bytes
    once_above: int | None = None


class Rest(Packet, frozen=True):
    """Sets the remainder of a frame that was written in part: a successor must write it first. b"": the frame is whole.
    None: the remainder is too long to be kept, so no successor can serve the connection until the frame is whole."""

    id: int
    rest: bytes | None


class Answered(Packet, frozen=True):
    """Reports that the head was answered, so a successor must not answer again. `once_above`: see `SetState`."""

    id: int
    once_above: int | None = None


class Renewed(Packet, frozen=True):
    """Sets the claims of a newer token that the peer has shown."""

    id: int
    claims: dict[str, Any]


class Claim(Packet, frozen=True):
    """Claims `key` (a call) for a connection. An older connection with this key is superseded."""

    id: int
    key: bytes


class Closed(Packet, frozen=True):
    """Has the gateway release a connection that has ended."""

    id: int


class HandBack(Packet, frozen=True):
    """Returns an HTTP connection to the gateway: its next request, still unread, is for another actor."""

    id: int


class Park(Packet, frozen=True):
    """Returns a connection to the gateway, for the actor's successor."""

    id: int
    state: bytes
    unsent: bytes


class Deposit(Packet, frozen=True):
    """Gives a new gateway a duplicate of a connection that the actor serves, with the descriptor. A gateway that stops
    deposits the connections that wait for an actor. `fresh`: the head was not answered yet."""

    connection: Connection
    fresh: bool = False


class Leaving(Packet, frozen=True):
    """Refuses further offers, since the actor is about to stop."""


ToActor = Welcome | Offer | Supersede
ToGateway = Hello | SetState | Rest | Answered | Renewed | Claim | Closed | HandBack | Park | Deposit | Leaving

encode = msgspec.msgpack.Encoder().encode
# Exceptions of decoding; msgspec documents only the first.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
decode_to_actor = msgspec.msgpack.Decoder(ToActor).decode
decode_to_gateway = msgspec.msgpack.Decoder(ToGateway).decode
