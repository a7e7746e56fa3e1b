"""sd_notify, both ways: what actors say of themselves, and what we say to whoever supervises us.

The kernel tells the sender's pid (SCM_CREDENTIALS), so no process can speak for another.
Source: sd_notify(3), systemd.service(5).
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from typing import TYPE_CHECKING

import trio

from supervisor.run_directory import NOTIFY_NAME
from supervisor.sockets import listen_unix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

DATAGRAM_MAX_BYTES = 4096
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
# Credentials, and descriptors that somebody may have sent along and that have to be closed.
ANCILLARY_BYTES = socket.CMSG_SPACE(CREDENTIALS.size) + socket.CMSG_SPACE(16 * 4)


def parse(datagram: bytes) -> dict[str, str]:
    """Return the fields of a notification; lines that are not `KEY=value` are left out. Pure."""
    fields = {}
    for line in datagram.decode("utf-8", "replace").split("\n"):
        key, separator, value = line.partition("=")
        if separator and key:
            fields[key] = value
    return fields


def listen(run_dir: Path) -> socket.socket:
    """Bind the socket that actors notify. The caller closes it."""
    sock = listen_unix(run_dir, NOTIFY_NAME, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return sock


async def receive(sock: socket.socket, heard: Callable[[int, Mapping[str, str]], None]) -> None:
    """Call `heard(pid, fields)` for every notification, for ever. The pid is the kernel's word."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        # What has queued up is one look at the world; then the others have their turn.
        for _ in range(64):
            try:
                data, ancillary, _, _ = sock.recvmsg(DATAGRAM_MAX_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                break
            pid = _sender(ancillary)
            if pid is not None:
                heard(pid, parse(data))


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    pid = None
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_RIGHTS:
            for offset in range(0, len(data) - len(data) % 4, 4):
                os.close(int.from_bytes(data[offset : offset + 4], "little", signed=True))
        elif kind == socket.SCM_CREDENTIALS and len(data) >= CREDENTIALS.size:
            pid = CREDENTIALS.unpack_from(data)[0]
    return pid


class Upward:
    """Tells the one who supervises the supervisor, if there is one, how it is."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_s = self._watchdog(environ)

    def tell(self, *lines: str) -> None:
        """Send; a supervisor's supervisor that is not there is no reason to stop."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            try:
                sock.sendto("\n".join(lines).encode(), address)
            except OSError as error:
                logger.warning("notification not sent to %s: %s", self._address, error)

    async def beat(self) -> None:
        """Send WATCHDOG=1 twice as often as asked for, for ever; does nothing if nobody asked."""
        if self.watchdog_s is None:
            return
        while True:
            self.tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)

    @staticmethod
    def _watchdog(environ: Mapping[str, str]) -> float | None:
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        if not usec.isdigit() or (pid and pid != str(os.getpid())):
            return None
        return int(usec) / 1e6 or None
