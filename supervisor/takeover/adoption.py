"""Serves the socket on which processes that have outlived their supervisor say hello to the next one.

A process sends one SEQPACKET message, JSON with its descriptors attached, and gets one answer; if it is adopted, the
connection is its life line from then on. The caller decides whether a process is adopted.
"""

from __future__ import annotations

import array
import logging
import os
import socket
from collections.abc import Callable
from contextlib import nullcontext

import msgspec
import trio

from supervisor.sockets import peer_credentials

logger = logging.getLogger(__name__)

MESSAGE_MAX_BYTES = 4096
DESCRIPTORS_MAX = 16
HELLO_TIMEOUT_S = 2.0
WAITING_MAX = 128  # connections on which no hello has come yet


class HelloError(Exception):
    """The message is no hello, or the process that it names is not its sender."""


class Hello(msgspec.Struct, frozen=True):
    """Identifies a process; `fds` names the descriptors that come with the message, in their order."""

    name: str
    index: int
    pid: int
    generation: int
    ready: bool
    fds: tuple[str, ...] = ()

    @property
    def instance(self) -> str:
        return f"{self.name}.{self.index}"


class Envelope(msgspec.Struct, frozen=True):
    """Holds the message as it is sent."""

    hello: Hello


Adopt = Callable[[Hello, dict[str, int], socket.socket], str]


async def serve(listener: socket.socket, adopt: Adopt) -> None:
    """Answer hellos, for ever. Cancelling is safe.

    Args:
        adopt: returns "" and owns descriptors and connection from then on; else it returns why the process is not
            adopted.
    """
    limiter = trio.CapacityLimiter(WAITING_MAX)
    async with trio.open_nursery() as nursery:
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                connection, _ = listener.accept()
            except OSError as error:
                # No descriptor is left, or the process has gone again: try again a little later.
                logger.warning("hello not accepted: %s", error)
                await trio.sleep(0.1)
                continue
            connection.setblocking(False)
            nursery.start_soon(_answer, connection, adopt, limiter)


async def _answer(connection: socket.socket, adopt: Adopt, limiter: trio.CapacityLimiter) -> None:
    descriptors: list[int] = []
    adopted = False
    try:
        async with limiter:
            with trio.fail_after(HELLO_TIMEOUT_S):
                await trio.lowlevel.wait_readable(connection)
        hello = _receive(connection, descriptors)
        refusal = adopt(hello, dict(zip(hello.fds, descriptors, strict=True)), connection)
        adopted = not refusal
    except (HelloError, OSError, ValueError, trio.TooSlowError) as error:
        refusal = str(error) or "no hello came"
    finally:
        if not adopted:
            for descriptor in descriptors:
                os.close(descriptor)
    with connection if refusal else nullcontext():
        if refusal:
            logger.warning("a process is not adopted: %s", refusal)
        _send(connection, {"ok": not refusal, **({"error": refusal} if refusal else {})})


def _receive(connection: socket.socket, descriptors: list[int]) -> Hello:
    """Read the one message; its descriptors are put in the list even when it is refused.

    Raises:
        HelloError: see there.
    """
    size = array.array("i").itemsize
    data, ancillary, _, _ = connection.recvmsg(
        MESSAGE_MAX_BYTES, socket.CMSG_SPACE(DESCRIPTORS_MAX * size), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors += array.array("i", payload[: len(payload) - len(payload) % size])
    try:
        hello = msgspec.json.decode(data, type=Envelope).hello
    except msgspec.DecodeError as error:
        raise HelloError(f"no hello: {error}") from error
    sender, _, _ = peer_credentials(connection)
    if sender != hello.pid:
        raise HelloError(f"pid {sender} says that it is pid {hello.pid}")
    if len(hello.fds) != len(descriptors):
        raise HelloError(f"{hello.instance} named {len(hello.fds)} sockets and sent {len(descriptors)}")
    return hello


def _send(connection: socket.socket, answer: dict[str, object]) -> None:
    try:
        connection.send(msgspec.json.encode(answer))
    except OSError as error:
        logger.warning("hello not answered: %s", error)
