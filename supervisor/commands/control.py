"""The control socket: newline JSON requests of people's commands, newline JSON answers. Knows no command."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from supervisor.commands.commands import COMMANDS, STREAMS, CommandError, Last
from supervisor.takeover.adoption import CREDENTIALS

if TYPE_CHECKING:
    from supervisor.service import Supervisor

logger = logging.getLogger(__name__)

LINE_MAX_BYTES = 64 * 1024
CONNECTIONS_MAX = 64
# One who does not take an answer for so long is gone.
SEND_TIMEOUT_S = 5.0


async def serve(listener: socket.socket, supervisor: Supervisor) -> None:
    """Answer, for ever. A connection has one request after another; each is carried out to its end."""
    listening = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    limiter = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def answer(stream: trio.SocketStream) -> None:
        async with limiter:
            try:
                await _serve_one(stream, supervisor)
            except (trio.BrokenResourceError, trio.TooSlowError, trio.ClosedResourceError):
                logger.debug("somebody who had asked has gone")
            except Exception:
                # Whatever one question does, the supervisor is there for the others.
                logger.exception("a question could not be answered")

    await trio.serve_listeners(answer, [listening])


async def _serve_one(stream: trio.SocketStream, supervisor: Supervisor) -> None:
    if not _may_ask(stream):
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
    if not isinstance(outcome, Last):
        await _send(stream, outcome)
        return
    try:
        await _send(stream, outcome.answer)
    finally:
        outcome.then()


async def _send(stream: trio.SocketStream, answer: dict[str, Any]) -> None:
    with trio.fail_after(SEND_TIMEOUT_S):
        await stream.send_all(msgspec.json.encode(answer) + b"\n")


def _may_ask(stream: trio.SocketStream) -> bool:
    """The file's mode says the same; this also holds when somebody has changed that."""
    data = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(data)
    return uid in (0, os.getuid())
