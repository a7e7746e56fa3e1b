"""Replaces the supervisor's program by a new version, in the same process, with everything that it holds.

A snapshot is written to a file in memory; exec keeps the pid, the children, and the descriptors that the snapshot
names. If exec fails, the same snapshot brings the old program back.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from supervisor.takeover.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervisor.actors.actor import Actor

RESUME: Final = "--resume"
# Signals that are blocked between two programs, when there is no handler; the next program receives them.
DEFERRED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CHECK_S: Final = 15.0


class UpgradeError(Exception):
    """The program can't be replaced now; nothing has changed."""


async def check() -> None:
    """Make sure that the program as it is on disk now starts and accepts the configuration. Cancelling is safe.

    Raises:
        UpgradeError: it does not; the text quotes the last line that it has written.
    """
    with trio.move_on_after(CHECK_S):
        result = await trio.run_process([*program(), "check"], capture_stdout=True, capture_stderr=True, check=False)
        if result.returncode == 0:
            return
        said = result.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise UpgradeError(f"the new version does not start (exit {result.returncode}): {said[-1]}")
    raise UpgradeError(f"the new version has not started after {CHECK_S:g} s")


def program() -> list[str]:
    """Return the command line that started this program, without its own arguments."""
    arguments = len(sys.argv) - 1
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - arguments]]


def refuse_if_busy(actors: Mapping[str, Actor]) -> None:
    """Raise UpgradeError while an actor is being restarted, rolled or stopped: no program could go on with that."""
    busy = [name for name, actor in actors.items() if actor.busy]
    if busy:
        raise UpgradeError(f"not while {', '.join(busy)} is being restarted, rolled or stopped")


def defer_signals() -> None:
    """Block the signals that stop or reload, until the next program receives them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, DEFERRED)


def receive_signals() -> None:
    """Unblock the signals that were deferred. The handlers are there."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DEFERRED)


def execute(snapshot: Snapshot) -> None:
    """Replace the program; returns only if that fails.

    Raises:
        OSError: exec has failed; the descriptors are still open.
    """
    memory = os.memfd_create("patchbay-supervisor", 0)
    os.write(memory, msgspec.json.encode(snapshot))
    for descriptor in (memory, *snapshot.descriptors()):
        os.set_inheritable(descriptor, True)
    try:
        words = [*program(), RESUME, str(memory)]
        os.execv(words[0], words)
    finally:
        os.close(memory)


def read(memory: int) -> Snapshot:
    """Return the snapshot that the program before this one, in the same process, has written; close the descriptor."""
    with os.fdopen(memory, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=Snapshot)
