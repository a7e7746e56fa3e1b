"""The bus of a test: real ZeroMQ over Unix sockets in its own directory, held open as the supervisor holds them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from config import load
from patchbay.bus.sockets import Bus
from patchbay.process.identity import Identity
from patchbay.process.socket_names import SLOTS, endpoint, slot_of

if TYPE_CHECKING:
    from pathlib import Path


class Endpoints:
    """Makes the buses of several processes in one. `close` closes all of it."""

    def __init__(self, run_dir: Path, **environ: str) -> None:
        self.run_dir = run_dir
        self.settings = load({"PATCHBAY_RUN_DIR": str(run_dir), **environ})
        self._listeners: dict[str, socket.socket] = {}
        self._buses: list[Bus] = []

    def listen(self, name: str) -> int:
        """A descriptor of the listening socket of this name, as a new process inherits it."""
        if name not in self._listeners:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(self.run_dir / name))
            listener.listen(128)
            self._listeners[name] = listener
        return os.dup(self._listeners[name].fileno())

    def bus(self, name: str, *endpoints: str, index: int = 0, generation: int = 1) -> Bus:
        """The bus of one process, which owns these endpoints."""
        for each in endpoints:
            for slot in SLOTS:
                os.close(self.listen(endpoint(name, index, slot, each)))
        fds = {each: self.listen(endpoint(name, index, slot_of(generation), each)) for each in endpoints}
        made = Bus(self.settings, Identity(name, index, generation, fds=fds))
        self._buses.append(made)
        return made

    def close(self) -> None:
        for bus in self._buses:
            bus.close()
        for listener in self._listeners.values():
            listener.close()
