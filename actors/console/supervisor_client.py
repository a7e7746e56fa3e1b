"""Asks the supervisor for its status, or to do something, over its control socket: one line of JSON each way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson
import trio

from config.paths import unix_path
from patchbay.process import socket_names

if TYPE_CHECKING:
    from actors.console.statuses import Status

logger = logging.getLogger(__name__)

TIMEOUT_S = 1.0
FRESH_S = 0.25  # probes and pages that ask within this time share an answer
ANSWER_MAX_BYTES = 1024 * 1024


class SupervisorControl:
    """Asks the supervisor, over its control socket."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._lock = trio.Lock()
        self._status: Status | None = None
        self._asked_at = float("-inf")

    async def status(self) -> Status | None:
        """Return what `status --json` prints; None when no supervisor answers in time."""
        async with self._lock:
            if trio.current_time() - self._asked_at >= FRESH_S:
                self._status = await self._ask()
                self._asked_at = trio.current_time()
            return self._status

    async def command(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any] | None:
        """Send a command, and return the supervisor's answer.

        None: no supervisor answers. Empty: it was told, and has not finished within `timeout_s`; it goes on all the
        same. Cancelling takes nothing back.
        """
        try:
            with trio.fail_after(TIMEOUT_S):
                stream = await trio.open_unix_socket(unix_path(self._run_dir, socket_names.CONTROL))
            async with stream:
                with trio.fail_after(TIMEOUT_S):
                    await stream.send_all(orjson.dumps(request) + b"\n")
                with trio.move_on_after(timeout_s):
                    return _read(await _line(stream))
                return {}
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            logger.debug("no supervisor: %s", error)
        return None

    async def _ask(self) -> Status | None:
        with trio.move_on_after(TIMEOUT_S):
            answer = await self.command({"command": "status"}, TIMEOUT_S)
            return answer if answer and "actors" in answer else None
        return None


async def _line(stream: trio.SocketStream) -> bytes:
    line = bytearray()
    while b"\n" not in line and len(line) <= ANSWER_MAX_BYTES:
        data = await stream.receive_some(65536)
        if not data:
            break
        line += data
    return bytes(line)


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError:
        logger.warning("the supervisor's answer is not JSON")
        return None
    return answer if isinstance(answer, dict) else None
