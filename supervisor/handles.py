"""All that a supervisor holds open: lock, life line, sockets. It may be handed to the next one in the same process.

Knows no actor.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from supervisor import notify
from supervisor.launcher import Lifeline
from supervisor.rundir import CONTROL_NAME, HELLO_NAME, RunDir
from supervisor.sockets import Sockets, listen_unix

if TYPE_CHECKING:
    from config import Settings


@dataclass
class Handles:
    """See the module. Whoever opened it closes it."""

    run_dir: RunDir
    lifeline: Lifeline
    sockets: Sockets
    notified: socket.socket  # what actors say
    hellos: socket.socket  # actors that look for a supervisor
    controls: socket.socket  # people

    @classmethod
    def open(cls, run_dir: RunDir, settings: Settings) -> Handles:
        """Open what a supervisor needs from the start; the actors' sockets come later."""
        path = run_dir.path
        return cls(
            run_dir,
            Lifeline(),
            Sockets(path, settings.host, settings.port),
            notify.listen(path),
            listen_unix(path, HELLO_NAME, socket.SOCK_SEQPACKET),
            listen_unix(path, CONTROL_NAME, socket.SOCK_STREAM),
        )

    def close(self) -> None:
        """Close all but the lock; the files stay."""
        self.sockets.close()
        self.lifeline.close()
        for sock in (self.notified, self.hellos, self.controls):
            with suppress(OSError):
                sock.close()

    def leave(self, *, tidy: bool) -> None:
        """Close all and give the run directory up; when nothing runs on, remove what is ours in it."""
        self.close()
        if tidy:
            self.run_dir.leave()
        else:
            os.close(self.run_dir.lock)
