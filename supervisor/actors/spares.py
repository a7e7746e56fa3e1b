"""Processes that have everything loaded already, each to stand in at once for an actor that has crashed.

Loading takes most of a start, a quarter to half a second in which nobody hears anything. A spare (`patchbay.process.spare`) is no
actor's until it is told which one it is. What it has loaded is the program of that moment, so after anything that was
planned (a roll to a new version, say) they are made anew. One that dies unused is replaced. All go with the supervisor;
when that is killed, by themselves, since the link to it ends.

Owns the processes that wait; one that was taken is its taker's.
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

LOOK_S: Final = 1.0
SOON_S: Final = 0.1  # while one is missing
AGAIN_S: Final = 30.0  # after one that did not last: loading costs half a second of a processor


class Spare:
    """One process that waits. `close` it or have it `become` an actor's."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._link = link
        self._loaded = False

    def is_loaded(self) -> bool:
        """Whether it waits for its order."""
        if not self._loaded:
            with suppress(OSError):
                self._loaded = bool(self._link.recv(64))
        return self._loaded

    def become(self, name: str, command: Sequence[str], environ: Mapping[str, str], given: Mapping[str, int]) -> None:
        """Have it be this actor's process, with these descriptors by name.

        Raises:
            OSError: it has gone.
        """
        order = {"name": name, "command": command, "environ": environ, "fds": list(given)}
        socket.send_fds(self._link, [json.dumps(order).encode()], list(given.values()))

    def has_ended(self) -> bool:
        """Whether it has gone; it is reaped then."""
        return os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG) is not None

    def kill(self) -> None:
        """End it; it is to be reaped."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the end of one that was killed."""
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)

    def close(self) -> None:
        """Let go of it: it has ended, or is somebody else's."""
        self._link.close()
        os.close(self._pidfd)


class Spares:
    """Those that wait.

    Args:
        spawn: starts one, which inherits the descriptor given; returns its pid. May raise OSError.
    """

    def __init__(self, spawn: Callable[[int], int]) -> None:
        self._spawn = spawn
        self._waiting: list[Spare] = []
        self._dying: list[Spare] = []
        self._not_before = float("-inf")
        self._taken = trio.Event()

    def __len__(self) -> int:
        return sum(spare.is_loaded() for spare in self._waiting)

    async def run(self, wanted: Callable[[], int], is_quiet: Callable[[], bool]) -> None:
        """Keep as many as are wanted, for ever; none is started before it `is_quiet`. Cancelled, it ends them all."""
        try:
            while True:
                hurries = len(self) < wanted() and trio.current_time() >= self._not_before
                with trio.move_on_after(SOON_S if hurries else LOOK_S):
                    await self._taken.wait()
                    self._taken = trio.Event()
                self.look(wanted(), trio.current_time(), may_start=is_quiet())
        finally:
            self.renew()
            while self._dying:
                spare = self._dying.pop()
                spare.reap()
                spare.close()

    def look(self, wanted: int, now: float, *, may_start: bool = True) -> None:
        """Bury the dead, end those that are too many, and start one that is missing: one after the other, so that the
        first is loaded sooner."""
        for spare in [spare for spare in self._dying if spare.has_ended()]:
            self._dying.remove(spare)
            spare.close()
        for spare in [spare for spare in self._waiting if spare.has_ended()]:
            logger.warning("spare process %d has ended; another is started in %.0f s", spare.pid, AGAIN_S)
            self._waiting.remove(spare)
            spare.close()
            self._not_before = now + AGAIN_S
        if len(self) == len(self._waiting) < wanted and may_start and now >= self._not_before:
            self._add(now)
        self._end(self._waiting[wanted:])

    def stand_in(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], given: Mapping[str, int]
    ) -> int | None:
        """Have one that is loaded be an actor's process; see `Spare.become`. Returns its pid; None: there is none."""
        for spare in [spare for spare in self._waiting if spare.is_loaded()]:
            try:
                spare.become(name, command, environ, given)
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
        """The program may be another by now: end those there are; new ones come in their time."""
        self._end(self._waiting)
        self._taken.set()

    def _end(self, spares: list[Spare]) -> None:
        self._waiting = [spare for spare in self._waiting if spare not in spares]
        for spare in spares:
            spare.kill()
            self._dying.append(spare)

    def _add(self, now: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            try:
                self._waiting.append(Spare(self._spawn(theirs.fileno()), ours))
            except OSError as error:
                logger.warning("no spare process: %s", error)
                ours.close()
                self._not_before = now + AGAIN_S
