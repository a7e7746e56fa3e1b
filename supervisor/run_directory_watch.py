"""Watches the run directory while everything runs: when files in it are removed, it is made again.

Connections stay open, so there is time. The supervisor goes on as after a replacement of its program, with all that it
holds, makes the missing files again, and rolls the actors, whose sockets in the directory are no longer there.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from config.paths import RunDirError
from supervisor.run_directory import AlreadyRunningError

if TYPE_CHECKING:
    from supervisor.service import Supervisor
    from supervisor.takeover.handles import Handles

logger = logging.getLogger(__name__)

POLL_S: Final = 1.0
NAMED_MAX: Final = 5


async def watch(supervisor: Supervisor) -> None:
    """Look once a second, for ever, whether a file is missing; if so, have the supervisor replace itself."""
    await supervisor.started.wait()
    if supervisor.origin.run_dir_was_lost:
        await _roll_all(supervisor)
    while True:
        await trio.sleep(POLL_S)
        if missing := supervisor.handles.missing_files():
            names = ", ".join(missing[:NAMED_MAX]) + (", …" if len(missing) > NAMED_MAX else "")
            why = f"{names} removed from {supervisor.handles.run_dir.path}"
            supervisor.history.record("supervisor", f"{why}: made anew", level=logging.ERROR)
            supervisor.replace(renews=why)


def make_again(handles: Handles) -> str:
    """Make the missing files again; return why that can't be done, or ""."""
    try:
        handles.reopen_missing()
    except (RunDirError, AlreadyRunningError, OSError) as error:
        logger.error("the run directory can't be made anew, everything stops: %s", error)
        return str(error)
    return ""


async def _roll_all(supervisor: Supervisor) -> None:
    """Roll every actor; first the gateway, which hands connections to the others."""
    async with supervisor.reconfiguring:
        actors = sorted(supervisor.actors.values(), key=lambda actor: not actor.spec.listeners)
        await supervisor.actors.roll(actors, "the run directory was made anew", recorded_as="supervisor")
