"""Asks the supervisor for its status over its control socket: one line of JSON each way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson
import trio

from config.paths import unix_path

if TYPE_CHECKING:
    from actors.console.statuses import Status

logger = logging.getLogger(__name__)

CONTROL_NAME = "control.sock"
TIMEOUT_S = 1.0
FRESH_S = 0.25  # probes and pages that ask within this time share an answer
ANSWER_MAX_BYTES = 1024 * 1024


class SupervisorControl:
    """The supervisor as the console sees it."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._lock = trio.Lock()
        self._status: Status | None = None
        self._asked_at = float("-inf")

    async def status(self) -> Status | None:
        """What `status --json` prints; None when no supervisor answers in time."""
        async with self._lock:
            if trio.current_time() - self._asked_at >= FRESH_S:
                self._status = await self._ask()
                self._asked_at = trio.current_time()
            return self._status

    async def _ask(self) -> Status | None:
        with trio.move_on_after(TIMEOUT_S):
            try:
                async with await trio.open_unix_socket(unix_path(self._run_dir, CONTROL_NAME)) as stream:
                    await stream.send_all(b'{"command":"status"}\n')
                    return _read(await _line(stream))
            except (OSError, trio.BrokenResourceError) as error:
                logger.debug("no supervisor: %s", error)
        return None


async def _line(stream: trio.SocketStream) -> bytes:
    line = bytearray()
    while b"\n" not in line and len(line) <= ANSWER_MAX_BYTES:
        data = await stream.receive_some(65536)
        if not data:
            break
        line += data
    return bytes(line)


def _read(line: bytes) -> Status | None:
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError:
        logger.warning("the supervisor's answer is not JSON")
        return None
    return answer if isinstance(answer, dict) and "actors" in answer else None
