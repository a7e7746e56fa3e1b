"""`python -m patchbay.process.spare FD`: a process that has loaded all that the actors which carry audio need, and waits to be told
which of them it is.

Loading is most of what a start takes: whoever stands in for a process that has crashed can't afford it. The supervisor
holds the other end of FD (`supervisor.spares`), hears of it when everything is loaded, and sends one order; when it has gone
instead, so do we. From the order on this is a process as any other: same settings, same command line for `ps`.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from patchbay.process.background_import import load

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES: Final = {"ingest": "actors.ingest.actor", "fanout": "actors.fanout.actor"}
RUNTIME: Final = "patchbay.process.main"
LOADED: Final = b"loaded"
ORDER_MAX_BYTES: Final = 64 * 1024
DESCRIPTORS_MAX: Final = 64
ARG_START, ARG_END = 48, 49  # fields of proc_pid_stat(5), counted from 1


def main() -> int:
    """Wait for the order and carry it out. Returns the exit status."""
    with socket.socket(fileno=int(sys.argv[1])) as link:
        loading = load((RUNTIME, *MODULES.values()), "rests", lambda: say_so(link))
        packet, fds = b"", list[int]()
        with suppress(ConnectionError):  # it has gone without having heard that we are loaded
            packet, fds, _, _ = socket.recv_fds(link, ORDER_MAX_BYTES, DESCRIPTORS_MAX)
        if not packet:
            os._exit(0)  # not by way of the interpreter's end: it may be loading still
        loading.join()
    order = json.loads(packet)
    take_identity(order, fds)
    show_as(order["command"])
    name = order["name"]
    status: int = import_module(RUNTIME).run_actor(name, import_module(MODULES[name]).run)
    return status


def say_so(link: socket.socket) -> None:
    """Tell the supervisor that everything is loaded."""
    with suppress(OSError):  # the supervisor has gone
        link.send(LOADED)


def take_identity(order: dict[str, Any], fds: list[int]) -> None:
    """Have the environment say what it would have said from the start; the descriptors have other numbers here."""
    os.environ.update(order["environ"])
    named = zip(order["fds"], fds, strict=True)
    os.environ["PATCHBAY_ACTOR_FDS"] = ",".join(f"{name}:{fd}" for name, fd in named)


def show_as(command: Sequence[str]) -> None:
    """Have `ps` show this command line instead of ours, where it is not longer: the kernel shows what lies there."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    start, end = (int(fields[number - 3]) for number in (ARG_START, ARG_END))  # the first two come before the bracket
    line = b"\0".join(map(os.fsencode, command)) + b"\0"
    if start and len(line) <= end - start:
        ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    sys.exit(main())
