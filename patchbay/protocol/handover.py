"""Defines the messages between the gateway and the actors on their Unix socket, one a packet.

Pure. A packet is MessagePack; the descriptor of a connection travels beside it (SCM_RIGHTS), with `Offer` and
`Deposit` only. What the messages lead to is decided in `actors.gateway.table` and `patchbay.handover.link`.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

MAX_PACKET_BYTES = 160 * 1024  # a head, a state, unsent bytes and what is around them
MAX_STATE_BYTES = 32 * 1024
MAX_UNSENT_BYTES = 48 * 1024  # of a parked connection's output; one that is further behind is closed instead


class Packet(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """Holds one message."""


class Connection(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Describes a connection, whichever process serves it.

    Attributes:
        id: unique over restarts of the gateway, and growing: a later connection has a higher one.
        head: the request head as the peer sent it, blank line included.
        peer: the peer's address as text.
        state: what the serving actor wants its successor to know.
        unsent: output of a parked connection that the kernel had not taken: the rest of a frame, then whole frames.
        claims: what the peer's token says; None where authentication is off.
    """

    id: int
    kind: Literal["ws", "http"]
    head: bytes
    peer: str
    state: bytes = b""
    unsent: bytes = b""
    claims: dict[str, Any] | None = None


class Known(Protocol):
    """Describes a connection as either side has it: `HandedConnection`, and the gateway's `HeldConnection`."""

    id: int
    kind: Literal["ws", "http"]
    head: bytes
    peer: str
    state: bytes
    unsent: bytes
    claims: dict[str, Any] | None


def describe(known: Known) -> Connection:
    """Return what another process needs to know of a connection."""
    return Connection(
        id=known.id,
        kind=known.kind,
        head=known.head,
        peer=known.peer,
        state=known.state,
        unsent=known.unsent,
        claims=known.claims,
    )


class Hello(Packet, frozen=True):
    """Actor to gateway, first: names the process."""

    name: str
    index: int
    generation: int
    pid: int


class Welcome(Packet, frozen=True):
    """Gateway to actor: the hello is understood, connections will follow."""


class Offer(Packet, frozen=True):
    """Gateway to actor, with the descriptor: serve this. `resumed`: the peer has had its 101 already."""

    connection: Connection
    resumed: bool


class Supersede(Packet, frozen=True):
    """Gateway to actor: a newer connection has claimed what this one had claimed; end it."""

    id: int


class SetState(Packet, frozen=True, tag="Note"):
    """Actor to gateway: keep this with the connection. `once_above`: from when it has carried more than so many bytes;
    None: from now on."""

    id: int
    state: bytes
    once_above: int | None = None


class Rest(Packet, frozen=True):
    """Actor to gateway: a frame was written in part, and this is what a successor must write first; b"": no more.
    None: it is too long to be kept, so nobody can go on with this connection until the frame is whole."""

    id: int
    rest: bytes | None


class Answered(Packet, frozen=True):
    """Actor to gateway: the peer has had its answer to the head; a successor must not give it another. `once_above`: as
    for a state."""

    id: int
    once_above: int | None = None


class Renewed(Packet, frozen=True):
    """Actor to gateway: the peer has shown a newer token, and this is what it says."""

    id: int
    claims: dict[str, Any]


class Claim(Packet, frozen=True):
    """Actor to gateway: this connection is the only one that may stand for `key` (a call)."""

    id: int
    key: bytes


class Closed(Packet, frozen=True):
    """Actor to gateway: this connection has ended; release it."""

    id: int


class HandBack(Packet, frozen=True):
    """Actor to gateway: the next request on this HTTP connection, still unread, is not for me."""

    id: int


class Park(Packet, frozen=True):
    """Actor to gateway: I shall not serve this any more; my successor should."""

    id: int
    state: bytes
    unsent: bytes


class Deposit(Packet, frozen=True):
    """Actor to a new gateway, with the descriptor: I serve this; keep it too. From a gateway that stops: take this
    over, it waits for its actor. `fresh`: the peer has had no answer to the head yet."""

    connection: Connection
    fresh: bool = False


class Leaving(Packet, frozen=True):
    """Actor to gateway: no more offers, please; I am about to stop."""


ToActor = Welcome | Offer | Supersede
ToGateway = Hello | SetState | Rest | Answered | Renewed | Claim | Closed | HandBack | Park | Deposit | Leaving

encode = msgspec.msgpack.Encoder().encode
# What decoding raises; msgspec documents only the first.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
decode_to_actor = msgspec.msgpack.Decoder(ToActor).decode
decode_to_gateway = msgspec.msgpack.Decoder(ToGateway).decode
