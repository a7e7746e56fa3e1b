"""A real redis-server for tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.ports import reserved_port

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = shutil.which("redis-server") or shutil.which("valkey-server")
STARTS_S = 20.0
POLL_S = 0.02


@dataclass
class RedisServer:
    """One server, with an empty memory whenever it starts."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert COMMAND is not None
        options = ("--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", str(self.directory))
        self.process = subprocess.Popen([COMMAND, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + STARTS_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "redis-server does not listen"
                time.sleep(POLL_S)
            else:
                return

    def kill(self) -> None:
        """Kill it: all that it knows is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def send(self, what: signal.Signals) -> None:
        """Send it a signal, SIGSTOP say."""
        assert self.process is not None
        self.process.send_signal(what)


@contextmanager
def running_redis(directory: Path) -> Iterator[RedisServer]:
    """A server that runs."""
    with reserved_port() as port:
        server = RedisServer(port, directory)
        server.start()
        try:
            yield server
        finally:
            server.kill()
