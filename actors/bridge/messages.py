"""Encodes what two bridges say to each other over a link. Pure.

A link is one ZeroMQ connection, made by the node that wants calls of the other one. Its first byte tells a message's
kind. The node that wants says HELLO, WANT, UNWANT, PING and TALK; the node that has the calls says WELCOME, UNKNOWN,
NOT_HERE, PONG, BATCH and LEAVING.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from patchbay.protocol.batches import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION: Final = 1  # of these messages; nodes of different versions do not link
CALLS_MAX: Final = 50_000  # that one node wants of another

HELLO: Final = b"h"  # Hello: who wants which calls
WANT: Final = b"w"  # digests of calls
UNWANT: Final = b"u"  # digests of calls
PING: Final = b"p"
TALK: Final = b"t"  # as between fan-out and ingest (`patchbay.protocol.batches`)
WELCOME: Final = b"W"  # Welcome
UNKNOWN: Final = b"U"  # HELLO is missing: this bridge has been started anew
NOT_HERE: Final = b"N"  # digests of calls that are wanted and do not stream into this node
PONG: Final = b"P"
BATCH: Final = b"B"  # a batch of an ingest process without its topic, and without the calls that are not wanted
LEAVING: Final = b"L"  # another bridge of this node takes over: connect anew, then close this link


class MalformedMessage(Exception):
    """The other bridge has sent what can't be read."""


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """Begins a link.

    Attributes:
        node: who wants the calls.
        index: as which fan-out this node was known before; 0: it was not.
    """

    version: int
    node: str
    index: int
    calls: bytes


class Welcome(msgspec.Struct, frozen=True, array_like=True):
    """Answers a Hello. `index`: as which fan-out the other node is known from now on."""

    version: int
    index: int


Greeting = TypeVar("Greeting", Hello, Welcome)
_hello = msgspec.msgpack.Decoder(Hello)
_welcome = msgspec.msgpack.Decoder(Welcome)
_encode = msgspec.msgpack.Encoder().encode


def hello(node: str, index: int, calls: Iterable[bytes]) -> bytes:
    """Return the message that begins a link."""
    return HELLO + _encode(Hello(VERSION, node, index, b"".join(calls)))


def welcome(index: int) -> bytes:
    """Return the answer to a HELLO."""
    return WELCOME + _encode(Welcome(VERSION, index))


def about(kind: bytes, calls: Iterable[bytes]) -> bytes:
    """Return a WANT, UNWANT or NOT_HERE."""
    return kind + b"".join(calls)


def read_hello(message: bytes) -> Hello:
    """Decode a HELLO. Raises MalformedMessage, also for another version."""
    try:
        return _checked(_hello.decode(message[1:]))
    except msgspec.DecodeError as error:
        raise MalformedMessage(str(error)) from error


def read_welcome(message: bytes) -> Welcome:
    """Decode a WELCOME. Raises MalformedMessage, also for another version."""
    try:
        return _checked(_welcome.decode(message[1:]))
    except msgspec.DecodeError as error:
        raise MalformedMessage(str(error)) from error


def read_calls(digests: bytes) -> list[bytes]:
    """Split digests that follow each other. Raises MalformedMessage."""
    if len(digests) % DIGEST_BYTES or len(digests) > CALLS_MAX * DIGEST_BYTES:
        raise MalformedMessage(f"{len(digests)} bytes of digests")
    return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]


def _checked(found: Greeting) -> Greeting:
    if found.version != VERSION:
        raise MalformedMessage(f"version {found.version}, this is {VERSION}")
    return found
