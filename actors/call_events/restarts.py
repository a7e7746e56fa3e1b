"""Follows the supervisor's transitions of actors, and records an event for each restart."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import orjson
import trio

from actors.call_events.internal_events import own_event
from actors.call_events.journal.interface import Unavailable
from config.paths import unix_path
from patchbay.process import socket_names
from patchbay.protocol.events import ACTOR_RESTARTED

if TYPE_CHECKING:
    from actors.call_events.events import Arrival
    from actors.call_events.journal.interface import Record

logger = logging.getLogger(__name__)

REQUEST = (
    b'{"command":"events","last":100}\n'  # includes transitions during a restart of ours; ids make repeats harmless
)
LINE_MAX_BYTES = 64 * 1024
RETRY_S = 1.0


async def follow_restarts(run_dir: str, record: Record) -> None:
    """Follow the supervisor and its successors until cancelled."""
    while True:
        try:
            async with await trio.open_unix_socket(unix_path(run_dir, socket_names.CONTROL)) as stream:
                await stream.send_all(REQUEST)
                await _take(stream, record)
        except (OSError, trio.BrokenResourceError, Unavailable) as error:
            logger.debug("the supervisor's transitions can't be read: %s", error)
        await trio.sleep(RETRY_S)


def restart_of(line: bytes, now: int) -> Arrival | None:
    """Return the event for a transition; None for a line that is no restart. A first start is none.

    Args:
        now: µs since 1970.
    """
    try:
        entry: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(entry, dict) or entry.get("after") != "READY" or entry.get("before") == "READY":
        return None
    actor, generation, at = entry.get("actor"), entry.get("generation"), entry.get("at")
    if not isinstance(actor, str) or not isinstance(generation, int) or not isinstance(at, float) or generation < 2:
        return None
    payload = {"actor": actor, "generation": generation, "pid": entry.get("pid")}
    return own_event(
        ACTOR_RESTARTED,
        payload,
        name=f"{ACTOR_RESTARTED} {actor} {generation} {at}",
        occurred_at=int(at * 1e6),
        now=now,
    )


async def _take(stream: trio.SocketStream, record: Record) -> None:
    buffered = b""
    while data := await stream.receive_some(LINE_MAX_BYTES):
        *lines, buffered = (buffered + data).split(b"\n")
        now = time.time_ns() // 1000
        arrivals = [arrival for line in lines if (arrival := restart_of(line, now)) is not None]
        if arrivals:
            await record(arrivals)
        if len(buffered) > LINE_MAX_BYTES:
            return
