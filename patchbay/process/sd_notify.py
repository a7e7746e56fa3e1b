"""Tells the supervisor how we are: sd_notify datagrams (systemd's protocol, so systemd understands them too).

Sending never waits and never fails an actor: a supervisor that is away hears the next one.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

from patchbay.process.periodic import next_tick

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

log = logging.getLogger(__name__)


class Notifier:
    """Sends to the socket that NOTIFY_SOCKET names; without one it is silent."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path else None
        if self._sock is not None:
            self._sock.setblocking(False)

    @classmethod
    def from_environment(cls) -> Notifier:
        """The one the supervisor (or systemd) listens on."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def send(self, **fields: object) -> None:
        """Send `KEY=value` lines."""
        if self._sock is None or self._path is None:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        try:
            self._sock.sendto("\n".join(f"{key}={value}" for key, value in fields.items()).encode(), address)
        except OSError as error:
            log.debug("supervisor not told: %s", error)

    async def beat(self, progress: Callable[[], dict[str, int]], is_ready: trio.Event) -> None:
        """Send a heartbeat every second from the event loop, with how late the loop was and what it has done.

        Readiness is said again with each: a datagram is lost when its reader is busy, and a supervisor may be new.
        """
        while True:
            lag_s = await next_tick()
            ready = {"READY": 1} if is_ready.is_set() else {}
            self.send(**ready, WATCHDOG=1, X_LAG_MS=round(lag_s * 1000, 1), **progress())
