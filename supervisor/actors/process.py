"""One running process: its pidfd, what it says of itself, how it is signalled and how it ended.

Knows nothing of restarts or states. Exit is a pidfd that becomes readable, so there is no SIGCHLD handler and no
polling, and it works for an adopted process, which is not our child, just as well.
"""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from supervisor.actors.exits import Exit, from_waitid
from supervisor.run_directory import start_time

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

CRASHLOG_TAIL_BYTES = 64 * 1024


class Process(ABC):
    """What an actor needs to know of its process, real or a test's."""

    def __init__(self, instance: str, generation: int, pid: int, *, started_at: float) -> None:
        self.instance = instance
        self.generation = generation
        self.pid = pid
        self.started_at = started_at  # trio's clock
        self.start_time = 0  # clock ticks since boot; with the pid it names the process for good
        self.adopted = False
        self.stands_in = False  # it was a spare, loaded before it was needed
        self.ready = trio.Event()
        self.beat_at: float | None = None  # trio's clock, the last sign of life of its loop
        self.status = ""  # its own words
        self.progress: dict[str, float] = {}  # its own figures: frames in, frames out, lag
        self.exit: Exit | None = None

    def notified(self, fields: Mapping[str, str], now: float) -> None:
        """Take in what it said of itself (sd_notify)."""
        if fields.get("READY") == "1":
            self.ready.set()
        if "STATUS" in fields:
            self.status = fields["STATUS"]
        if fields.get("WATCHDOG") == "1":
            self.beat_at = now
        for key, value in fields.items():
            if key.startswith("X_"):
                with suppress(ValueError):
                    self.progress[key.removeprefix("X_").lower()] = float(value)

    @abstractmethod
    def signal(self, number: int) -> None:
        """Send it a signal; nothing happens when it has gone."""

    @abstractmethod
    def kill(self) -> None:
        """End it and what it has started, now."""

    @abstractmethod
    async def wait(self) -> Exit:
        """Wait for its end. One task at a time; cancelling is safe; afterwards it answers at once."""

    def last_words(self) -> bytes:
        """Return what it has written to its crash log, the last of it."""
        return b""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; call it when it has ended, or is to be without us."""


class KernelProcess(Process):
    """A real one: our child, or adopted."""

    def __init__(
        self,
        instance: str,
        generation: int,
        pid: int,
        *,
        started_at: float,
        crashlog: int | None = None,
        lifeline: socket.socket | None = None,
    ) -> None:
        """Open its pidfd, and own the descriptors given.

        Args:
            crashlog: file that it writes its last words to.
            lifeline: the connection it was adopted by; then it is not our child.

        Raises:
            ProcessLookupError: there is no such process (any more).
        """
        super().__init__(instance, generation, pid, started_at=started_at)
        self.pidfd = os.pidfd_open(pid)
        self.start_time = start_time(pid) or 0
        self.crashlog = crashlog
        self.lifeline = lifeline
        self.adopted = lifeline is not None

    def signal(self, number: int) -> None:
        if self.exit is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._kill_group()

    async def wait(self) -> Exit:
        if self.exit is None:
            await trio.lowlevel.wait_readable(self.pidfd)
            # Not reaped yet, so its number, and that of the group it leads, can't be another's.
            self._kill_group()
            self.exit = self._reap()
        return self.exit

    def last_words(self) -> bytes:
        if self.crashlog is None:
            return b""
        size = os.fstat(self.crashlog).st_size
        return os.pread(self.crashlog, CRASHLOG_TAIL_BYTES, max(0, size - CRASHLOG_TAIL_BYTES)).rstrip(b"\0")

    def close(self) -> None:
        trio.lowlevel.notify_closing(self.pidfd)
        os.close(self.pidfd)
        if self.crashlog is not None:
            os.close(self.crashlog)
        if self.lifeline is not None:
            self.lifeline.close()

    def _kill_group(self) -> None:
        if self.exit is None:
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, signal.SIGKILL)

    def _reap(self) -> Exit:
        try:
            result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        except ChildProcessError:
            return Exit()
        return Exit() if result is None else from_waitid(result)
