"""Serves the control socket: one JSON request in a line, then its answers, a line each. Knows no single command."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from supervisor.commands.commands import COMMANDS, STREAMS, CommandError, FinalAnswer
from supervisor.sockets import peer_credentials

if TYPE_CHECKING:
    import socket

    from supervisor.service import Supervisor

logger = logging.getLogger(__name__)

LINE_MAX_BYTES = 64 * 1024
CONNECTIONS_MAX = 64
# A client that takes no part of an answer for so long is disconnected.
SEND_TIMEOUT_S = 5.0


async def serve(listener: socket.socket, supervisor: Supervisor) -> None:
    """Serve connections, for ever. A connection has one request after another; each is carried out to its end."""
    listening = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    limiter = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def answer(stream: trio.SocketStream) -> None:
        async with limiter:
            try:
                await _serve_one(stream, supervisor)
            except (trio.BrokenResourceError, trio.TooSlowError, trio.ClosedResourceError):
                logger.debug("a client of the control socket has gone")
            except Exception:
                # A fault in one command ends this connection and nothing else.
                logger.exception("a command of the control socket has failed; its connection is closed")

    await trio.serve_listeners(answer, [listening])


async def _serve_one(stream: trio.SocketStream, supervisor: Supervisor) -> None:
    if not _is_authorized(stream):
        return
    buffered = b""
    while True:
        while b"\n" not in buffered:
            chunk = await stream.receive_some(LINE_MAX_BYTES)
            buffered += chunk
            if not chunk or len(buffered) > LINE_MAX_BYTES:
                return
        line, _, buffered = buffered.partition(b"\n")
        await _carry_out(line, stream, supervisor)


async def _carry_out(line: bytes, stream: trio.SocketStream, supervisor: Supervisor) -> None:
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
        command = request.get("command")
        if isinstance(command, str) and command in STREAMS:
            async for answer in STREAMS[command](supervisor, request):
                await _send(stream, answer)
            return
        if not isinstance(command, str) or command not in COMMANDS:
            raise CommandError(f"there is no command {command!r}")
        outcome = await COMMANDS[command](supervisor, request)
    except (msgspec.DecodeError, CommandError) as error:
        outcome = {"ok": False, "error": str(error)}
    if not isinstance(outcome, FinalAnswer):
        await _send(stream, outcome)
        return
    try:
        await _send(stream, outcome.answer)
    finally:
        outcome.then()


async def _send(stream: trio.SocketStream, answer: dict[str, Any]) -> None:
    with trio.fail_after(SEND_TIMEOUT_S):
        await stream.send_all(msgspec.json.encode(answer) + b"\n")


def _is_authorized(stream: trio.SocketStream) -> bool:
    """Return whether the client is root or this user; true of all while the mode of the socket's file is 0600."""
    _, uid, _ = peer_credentials(stream.socket)
    return uid in (0, os.getuid())
