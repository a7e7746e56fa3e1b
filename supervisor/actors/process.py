"""Signals one process, waits for its end, and keeps what it notifies.

Knows nothing of restarts or states. The end is a pidfd that becomes readable, so there is no SIGCHLD handler and no
polling, and an adopted process, which is not a child of the supervisor, is waited for in the same way.
"""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from supervisor.actors.exits import Exit, from_waitid
from supervisor.procfs import start_time

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

CRASHLOG_TAIL_BYTES = 64 * 1024


class Process(ABC):
    """Describes a process of an actor.

    Attributes:
        started_at: trio's clock.
        start_time: clock ticks since boot; together with the pid it names the process for good.
        adopted: whether a supervisor before this one has started it.
        is_spare: whether it was loaded before it was assigned to its actor.
        beat_at: trio's clock, the last heartbeat of its event loop; None: there was none.
        status: its STATUS notification.
        progress: its `X_…` notifications, like `frames_in`.
    """

    def __init__(self, instance: str, generation: int, pid: int, *, started_at: float) -> None:
        self.instance = instance
        self.generation = generation
        self.pid = pid
        self.started_at = started_at
        self.start_time = 0
        self.adopted = False
        self.is_spare = False
        self.ready = trio.Event()
        self.beat_at: float | None = None
        self.status = ""
        self.progress: dict[str, float] = {}
        self.exit: Exit | None = None

    def on_notification(self, fields: Mapping[str, str], now: float) -> None:
        """Keep the fields of an sd_notify datagram that it has sent; `now`: trio's clock."""
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
        """Send it a signal; nothing happens if it has ended."""

    @abstractmethod
    def kill(self) -> None:
        """Send SIGKILL to it and to the processes that it has started."""

    @abstractmethod
    async def wait(self) -> Exit:
        """Wait until it has ended. One task at a time; cancelling is safe; after its end it returns at once."""

    def crash_log_tail(self) -> bytes:
        """Return the end of its crash log."""
        return b""

    @abstractmethod
    def close(self) -> None:
        """Close its descriptors, when it has ended or is left to another supervisor."""


class KernelProcess(Process):
    """Is a real process: a child of the supervisor, or an adopted one."""

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
            crashlog: the file that it writes its last log line and stack to.
            lifeline: the connection by which it was adopted; None: it is a child of the supervisor.

        Raises:
            ProcessLookupError: there is no such process.
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
            # Before it is reaped, no other process or group can have its number.
            self._kill_group()
            self.exit = self._reap()
        return self.exit

    def crash_log_tail(self) -> bytes:
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
