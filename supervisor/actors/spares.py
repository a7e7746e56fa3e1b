"""Keeps spare processes, which have loaded the actors that carry audio, to replace one that has crashed at once.

Loading takes most of a start, in which nobody hears anything. A spare (`patchbay.process.spare`) belongs to no actor
until it is assigned. It has loaded the program as it was then, so after a planned start (a roll to a new version, say)
all spares are replaced. A spare that ends unused is replaced too. All end with the supervisor; if that is killed, by
themselves, since their link ends.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

logger = logging.getLogger(__name__)

POLL_S: Final = 1.0
URGENT_POLL_S: Final = 0.1  # while a spare is missing
RETRY_S: Final = 30.0  # after a spare that has ended: loading costs half a second of a processor


class Spare:
    """Is one process that waits to be assigned. Whoever made it closes it."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._link = link
        self._loaded = False

    def is_loaded(self) -> bool:
        """Return whether it has loaded everything and waits for its order."""
        if not self._loaded:
            with suppress(OSError):
                self._loaded = bool(self._link.recv(64))
        return self._loaded

    def assign(self, name: str, command: Sequence[str], environ: Mapping[str, str], given: Mapping[str, int]) -> None:
        """Order it to become a process of this actor, with these descriptors by name.

        Args:
            command: the command line of the actor, which a spare of the version before shows in `ps`.

        Raises:
            OSError: the spare has ended.
        """
        order = {"name": name, "command": command, "environ": environ, "fds": list(given)}
        socket.send_fds(self._link, [json.dumps(order).encode()], list(given.values()))

    def has_ended(self) -> bool:
        """Return whether it has ended; if so, it is reaped."""
        return os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG) is not None

    def kill(self) -> None:
        """Send SIGKILL to it; the caller reaps it."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def reap(self) -> None:
        """Wait until it has ended, after `kill`; blocks for that moment."""
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)

    def close(self) -> None:
        """Close its descriptors: it has ended, or was assigned."""
        self._link.close()
        os.close(self._pidfd)


class Spares:
    """Owns the spares that wait; one that was assigned belongs to its actor.

    Args:
        spawn: starts a spare, which inherits the descriptor given, and returns its pid. May raise OSError.
    """

    def __init__(self, spawn: Callable[[int], int]) -> None:
        self._spawn = spawn
        self._waiting: list[Spare] = []
        self._ending: list[Spare] = []
        self._not_before = float("-inf")
        self._taken = trio.Event()

    def __len__(self) -> int:
        return sum(spare.is_loaded() for spare in self._waiting)

    async def run(self, wanted: Callable[[], int], is_quiet: Callable[[], bool]) -> None:
        """Keep as many spares as `wanted` returns, for ever; none is started unless `is_quiet`.

        Cancelled, it ends them all.
        """
        try:
            while True:
                hurries = len(self) < wanted() and trio.current_time() >= self._not_before
                with trio.move_on_after(URGENT_POLL_S if hurries else POLL_S):
                    await self._taken.wait()
                    self._taken = trio.Event()
                self.poll(wanted(), trio.current_time(), may_start=is_quiet())
        finally:
            self.renew()
            while self._ending:
                spare = self._ending.pop()
                spare.reap()
                spare.close()

    def poll(self, wanted: int, now: float, *, may_start: bool = True) -> None:
        """Reap the spares that have ended, end those that are too many, and start at most one that is missing.

        One after the other, so that the first is loaded sooner. `now`: trio's clock.
        """
        for spare in [spare for spare in self._ending if spare.has_ended()]:
            self._ending.remove(spare)
            spare.close()
        for spare in [spare for spare in self._waiting if spare.has_ended()]:
            logger.warning("spare process %d has ended; another is started in %.0f s", spare.pid, RETRY_S)
            self._waiting.remove(spare)
            spare.close()
            self._not_before = now + RETRY_S
        if len(self) == len(self._waiting) < wanted and may_start and now >= self._not_before:
            self._add(now)
        self._end(self._waiting[wanted:])

    def assign(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], given: Mapping[str, int]
    ) -> int | None:
        """Assign a loaded spare to an actor, see `Spare.assign`; return its pid. None: no spare is loaded."""
        for spare in [spare for spare in self._waiting if spare.is_loaded()]:
            try:
                spare.assign(name, command, environ, given)
            except OSError as error:
                logger.warning("spare process %d is of no use: %s", spare.pid, error)
                self._end([spare])
                continue
            self._waiting.remove(spare)
            spare.close()
            self._taken.set()
            return spare.pid
        return None

    def renew(self) -> None:
        """End all spares, since the program may be another by now; `run` starts new ones."""
        self._end(self._waiting)
        self._taken.set()

    def _end(self, spares: list[Spare]) -> None:
        self._waiting = [spare for spare in self._waiting if spare not in spares]
        for spare in spares:
            spare.kill()
            self._ending.append(spare)

    def _add(self, now: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            try:
                self._waiting.append(Spare(self._spawn(theirs.fileno()), ours))
            except OSError as error:
                logger.warning("no spare process: %s", error)
                ours.close()
                self._not_before = now + RETRY_S
