"""Receives the sd_notify datagrams of the actors, and sends the supervisor's own watchdog to systemd.

The kernel gives the pid of each sender (SCM_CREDENTIALS), so no process can speak for another.

Source: sd_notify(3), systemd.service(5), unix(7).
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import trio

from patchbay.process import socket_names
from patchbay.process.sd_notify import parse
from supervisor.sockets import CREDENTIALS, listen_unix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from patchbay.process.sd_notify import Notifier

DATAGRAM_MAX_BYTES = 4096
BATCH_MAX = 64  # datagrams that are read before other tasks have their turn
# Credentials, and descriptors that a process may have sent along and that have to be closed.
ANCILLARY_BYTES = socket.CMSG_SPACE(CREDENTIALS.size) + socket.CMSG_SPACE(16 * 4)


def listen(run_dir: Path) -> socket.socket:
    """Bind the socket that actors notify. The caller closes it."""
    sock = listen_unix(run_dir, socket_names.NOTIFY, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return sock


async def receive(sock: socket.socket, on_notification: Callable[[int, Mapping[str, str]], None]) -> None:
    """Call `on_notification(pid, fields)` for every datagram, for ever. Cancelling is safe."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        for _ in range(BATCH_MAX):
            try:
                data, ancillary, _, _ = sock.recvmsg(DATAGRAM_MAX_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                break
            pid = _sender(ancillary)
            if pid is not None:
                on_notification(pid, parse(data))


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """Return the pid of the sender, and close the descriptors that came with the datagram."""
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


def watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return the interval in which systemd expects a sign of life of this process; None: it expects none."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1e6 or None


async def beat(notifier: Notifier, interval_s: float | None) -> None:
    """Send WATCHDOG=1 twice in each interval, for ever; return at once where there is none. Cancelling is safe."""
    if interval_s is None:
        return
    while True:
        notifier.send(WATCHDOG=1)
        await trio.sleep(interval_s / 2)
