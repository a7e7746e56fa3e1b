"""Runs a spare process, as `python -m patchbay.process.spare FD`: it has loaded the actors that carry audio, and waits
for its order.

Loading takes most of a start, too long for the replacement of a process that has crashed. The supervisor holds the
other end of FD (`supervisor.actors.spares`), is told when everything is loaded, and sends one order, which says which
actor this process becomes. If the supervisor ends instead, so does the spare. `ps` goes on to show the command line of
a spare.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from patchbay.process.background_import import load

MODULES: Final = {"ingest": "actors.ingest.actor", "fanout": "actors.fanout.actor"}
RUNTIME: Final = "patchbay.process.main"
LOADED: Final = b"loaded"
ORDER_MAX_BYTES: Final = 64 * 1024
DESCRIPTORS_MAX: Final = 64


def main() -> int:
    """Wait for the order and carry it out; return the exit status."""
    with socket.socket(fileno=int(sys.argv[1])) as link:
        loading = load((RUNTIME, *MODULES.values()), "idle", lambda: report_loaded(link))
        packet, fds = b"", list[int]()
        with suppress(ConnectionError):  # the supervisor has ended before it was told that everything is loaded
            packet, fds, _, _ = socket.recv_fds(link, ORDER_MAX_BYTES, DESCRIPTORS_MAX)
        if not packet:
            os._exit(0)  # at once: the other thread may still be loading
        loading.join()
    order = json.loads(packet)
    assume_identity(order, fds)
    name = order["name"]
    status: int = import_module(RUNTIME).run_actor(name, import_module(MODULES[name]).run)
    return status


def report_loaded(link: socket.socket) -> None:
    """Tell the supervisor that everything is loaded; nothing happens if it has ended."""
    with suppress(OSError):
        link.send(LOADED)


def assume_identity(order: dict[str, Any], fds: list[int]) -> None:
    """Set the environment that a process of this actor is started with; its descriptors have other numbers here."""
    os.environ.update(order["environ"])
    named = zip(order["fds"], fds, strict=True)
    os.environ["PATCHBAY_ACTOR_FDS"] = ",".join(f"{name}:{fd}" for name, fd in named)


if __name__ == "__main__":
    sys.exit(main())
