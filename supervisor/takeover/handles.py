"""Holds all that a supervisor has open: lock, life line, sockets. It may go on to the next program in the same process.

Knows no actor.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchbay.process import socket_names
from supervisor import sd_notify
from supervisor.actors.launcher import Lifeline
from supervisor.run_directory import LOCK_FILE, RunDir
from supervisor.sockets import Sockets, listen_unix

if TYPE_CHECKING:
    from config import Settings


@dataclass
class Handles:
    """Holds the descriptors. Whoever opened it closes it.

    Attributes:
        notify_socket: receives the sd_notify datagrams of the actors.
        adoption_socket: accepts actors that look for a supervisor.
        control_socket: accepts the commands of people and of the console.
    """

    run_dir: RunDir
    lifeline: Lifeline
    sockets: Sockets
    notify_socket: socket.socket
    adoption_socket: socket.socket
    control_socket: socket.socket

    @classmethod
    def open(cls, run_dir: RunDir, settings: Settings) -> Handles:
        """Open what a supervisor needs from the start; the actors' sockets are opened later."""
        path = run_dir.path
        return cls(
            run_dir,
            Lifeline(),
            Sockets(path, settings.host, settings.port, settings.cluster.address if settings.cluster.is_on else None),
            sd_notify.listen(path),
            listen_unix(path, socket_names.ADOPTION, socket.SOCK_SEQPACKET),
            listen_unix(path, socket_names.CONTROL, socket.SOCK_STREAM),
        )

    def missing_files(self) -> list[str]:
        """Return the names of the files that are no longer in the run directory."""
        own = (LOCK_FILE, socket_names.NOTIFY, socket_names.ADOPTION, socket_names.CONTROL)
        return sorted(name for name in {*own, *self.sockets.files} if not (self.run_dir.path / name).exists())

    def reopen_missing(self) -> None:
        """Make the missing files again. Processes keep the sockets that they have, so they have to be replaced.

        Raises:
            RunDirError, AlreadyRunningError, OSError: the files can't be made, or another supervisor has the directory.
        """
        missing, path = self.missing_files(), self.run_dir.path
        if LOCK_FILE in missing:
            fresh, before = RunDir.acquire(path), self.run_dir
            os.close(before.lock)
            self.run_dir = RunDir(path, before.made or fresh.made, fresh.lock)
        self.sockets.reopen(missing)
        if socket_names.NOTIFY in missing:
            self.notify_socket.close()
            self.notify_socket = sd_notify.listen(path)
        if socket_names.ADOPTION in missing:
            self.adoption_socket.close()
            self.adoption_socket = listen_unix(path, socket_names.ADOPTION, socket.SOCK_SEQPACKET)
        if socket_names.CONTROL in missing:
            self.control_socket.close()
            self.control_socket = listen_unix(path, socket_names.CONTROL, socket.SOCK_STREAM)

    def close(self, *, remove_files: bool) -> None:
        """Close everything and release the run directory.

        Args:
            remove_files: whether nothing runs on, so that the files in the run directory are removed.
        """
        self.sockets.close()
        self.lifeline.close()
        for sock in (self.notify_socket, self.adoption_socket, self.control_socket):
            with suppress(OSError):
                sock.close()
        if remove_files:
            self.run_dir.remove()
        else:
            os.close(self.run_dir.lock)
