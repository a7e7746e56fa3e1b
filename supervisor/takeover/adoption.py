"""Processes that have outlived their supervisor and say hello to the next: who they are and the sockets they hold.

One SEQPACKET message each, JSON with the descriptors attached, one answer; then the connection is the process's
life line. Whether a process is taken is the supervisor's decision.
"""

from __future__ import annotations

import array
import logging
import os
import socket
import struct
from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

MESSAGE_MAX_BYTES = 4096
DESCRIPTORS_MAX = 16
HELLO_TIMEOUT_S = 2.0
WAITING_MAX = 128  # connections that have not said hello yet
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class HelloError(Exception):
    """What came is no hello, or not from the one it names."""


class Hello(msgspec.Struct, frozen=True):
    """Who a process is; `fds` names the descriptors that come with it, in their order."""

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
    hello: Hello


async def serve(listener: socket.socket, take: Callable[[Hello, dict[str, int], socket.socket], str]) -> None:
    """Answer hellos, for ever. `take` returns "" and owns descriptors and connection from then on, or why not."""
    limiter = trio.CapacityLimiter(WAITING_MAX)
    async with trio.open_nursery() as nursery:
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                connection, _ = listener.accept()
            except OSError as error:
                # Out of descriptors, or it has gone again. Waiting is all that can be done about either.
                logger.warning("hello not accepted: %s", error)
                await trio.sleep(0.1)
                continue
            connection.setblocking(False)
            nursery.start_soon(_answer, connection, take, limiter)


async def _answer(
    connection: socket.socket,
    take: Callable[[Hello, dict[str, int], socket.socket], str],
    limiter: trio.CapacityLimiter,
) -> None:
    descriptors: list[int] = []
    taken = False
    try:
        async with limiter:
            with trio.fail_after(HELLO_TIMEOUT_S):
                await trio.lowlevel.wait_readable(connection)
        hello = _receive(connection, descriptors)
        refusal = take(hello, dict(zip(hello.fds, descriptors, strict=True)), connection)
        taken = not refusal
    except (HelloError, OSError, ValueError, trio.TooSlowError) as error:
        refusal = str(error) or "no hello came"
    finally:
        if not taken:
            for descriptor in descriptors:
                os.close(descriptor)
    with connection if refusal else nullcontext():
        if refusal:
            logger.warning("a process is not adopted: %s", refusal)
        _send(connection, {"ok": not refusal, **({"error": refusal} if refusal else {})})


def _receive(connection: socket.socket, descriptors: list[int]) -> Hello:
    """Read the one message; what descriptors came are in the list even when it is refused."""
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
    if peer_pid(connection) != hello.pid:
        raise HelloError(f"pid {peer_pid(connection)} says that it is pid {hello.pid}")
    if len(hello.fds) != len(descriptors):
        raise HelloError(f"{hello.instance} named {len(hello.fds)} sockets and sent {len(descriptors)}")
    return hello


def peer_pid(connection: socket.socket) -> int:
    """Return the pid of the process that connected, by the kernel's word."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid: int = CREDENTIALS.unpack(data)[0]
    return pid


def _send(connection: socket.socket, answer: dict[str, object]) -> None:
    try:
        connection.send(msgspec.json.encode(answer))
    except OSError as error:
        logger.warning("hello not answered: %s", error)
