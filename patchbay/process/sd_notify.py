"""Builds, parses and sends sd_notify datagrams, by which a process tells its supervisor how it is.

Actors send to Patchbay's supervisor, and the supervisor to systemd, where that has started it. Sending never waits, and
no error of the receiver becomes one of the sender.

Source: sd_notify(3).
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

from patchbay.process.periodic import next_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    import trio

logger = logging.getLogger(__name__)


def build(fields: Mapping[str, object]) -> bytes:
    """Return a datagram with one line `KEY=value` for each field. Pure."""
    return "\n".join(f"{key}={value}" for key, value in fields.items()).encode()


def parse(datagram: bytes) -> dict[str, str]:
    """Return the fields of a datagram; lines that are not `KEY=value` are left out. Pure."""
    fields = {}
    for line in datagram.decode("utf-8", "replace").split("\n"):
        key, separator, value = line.partition("=")
        if separator and key:
            fields[key] = value
    return fields


class Notifier:
    """Sends datagrams to one address; without an address it sends nothing. Whoever made it closes it.

    Args:
        address: the value of NOTIFY_SOCKET; a leading `@` stands for the abstract namespace.
        failure_level: the level of the log line about a datagram that could not be sent.
    """

    def __init__(self, address: str | None, *, failure_level: int = logging.DEBUG) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self._failure_level = failure_level
        # One socket for all datagrams: a process that has no descriptor left still sends its heartbeat.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if address else None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, **options: int) -> Self:
        """Return one that sends to NOTIFY_SOCKET."""
        return cls(environ.get("NOTIFY_SOCKET"), **options)

    def send(self, **fields: object) -> None:
        """Send one datagram with these fields. A datagram that can't be sent is logged and lost."""
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(build(fields), self._address)
        except OSError as error:
            logger.log(self._failure_level, "notification not sent to %s: %s", self._address, error)

    async def beat(self, progress: Callable[[], dict[str, int]], is_ready: trio.Event) -> None:
        """Send a heartbeat every second, for ever, with the lag of the event loop and the progress. Cancelling is safe.

        Each heartbeat repeats READY=1: a datagram is lost when the receiver's queue is full, and the supervisor may be
        new.
        """
        while True:
            lag_s = await next_tick()
            ready = {"READY": 1} if is_ready.is_set() else {}
            self.send(**ready, WATCHDOG=1, X_LAG_MS=round(lag_s * 1000, 1), **progress())

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
