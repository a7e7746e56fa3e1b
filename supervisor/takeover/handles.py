"""All that a supervisor holds open: lock, life line, sockets. It may be handed to the next one in the same process.

Knows no actor.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.paths import CONTROL_NAME
from supervisor import sd_notify
from supervisor.actors.launcher import Lifeline
from supervisor.run_directory import HELLO_NAME, LOCK_NAME, NOTIFY_NAME, RunDir
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
            sd_notify.listen(path),
            listen_unix(path, HELLO_NAME, socket.SOCK_SEQPACKET),
            listen_unix(path, CONTROL_NAME, socket.SOCK_STREAM),
        )

    def missing(self) -> list[str]:
        """Return the files that somebody has removed from the run directory."""
        names = {LOCK_NAME, NOTIFY_NAME, HELLO_NAME, CONTROL_NAME, *self.sockets.files}
        return sorted(name for name in names if not (self.run_dir.path / name).exists())

    def renew(self) -> None:
        """Make anew what is missing. Processes that run keep what they have: they are to be replaced.

        Raises:
            RunDirError, AlreadyRunningError, OSError: it can't be made, or is somebody else's by now.
        """
        missing, path = self.missing(), self.run_dir.path
        if LOCK_NAME in missing:
            fresh, before = RunDir.take(path), self.run_dir
            os.close(before.lock)
            self.run_dir = RunDir(path, before.made or fresh.made, fresh.lock)
        self.sockets.renew(missing)
        if NOTIFY_NAME in missing:
            self.notified.close()
            self.notified = sd_notify.listen(path)
        if HELLO_NAME in missing:
            self.hellos.close()
            self.hellos = listen_unix(path, HELLO_NAME, socket.SOCK_SEQPACKET)
        if CONTROL_NAME in missing:
            self.controls.close()
            self.controls = listen_unix(path, CONTROL_NAME, socket.SOCK_STREAM)

    def close(self) -> None:
        """Close all but the lock; the files stay."""
        self.sockets.close()
        self.lifeline.close()
        for sock in (self.notified, self.hellos, self.controls):
            with suppress(OSError):
                sock.close()

    def leave(self, *, trim_memory: bool) -> None:
        """Close all and give the run directory up; when nothing runs on, remove what is ours in it."""
        self.close()
        if trim_memory:
            self.run_dir.leave()
        else:
            os.close(self.run_dir.lock)
