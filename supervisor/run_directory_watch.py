"""The run directory while everything runs: somebody may remove it, or files in it, and nobody would find anybody any more.

What is connected stays connected, so there is time: the supervisor goes on as after a replacement of its program, with all that it
holds, makes anew what is missing, and rolls the actors, which listen on what is not there any more.
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

LOOK_S: Final = 1.0
NAMED_MAX: Final = 5


async def watch(supervisor: Supervisor) -> None:
    """See that everything is there, for ever; where it is not, have the supervisor begin anew."""
    await supervisor.started.wait()
    if supervisor.renewed:
        await roll_all(supervisor)
    while True:
        await trio.sleep(LOOK_S)
        if missing := supervisor.handles.missing():
            names = ", ".join(missing[:NAMED_MAX]) + (", …" if len(missing) > NAMED_MAX else "")
            why = f"{names} removed from {supervisor.handles.run_dir.path}"
            supervisor.history.record("supervisor", f"{why}: made anew", level=logging.ERROR)
            supervisor.replace(renews=why)


def renew(handles: Handles) -> str:
    """Make anew what is missing; return why that can't be done, or ""."""
    try:
        handles.renew()
    except (RunDirError, AlreadyRunningError, OSError) as error:
        logger.error("the run directory can't be made anew, everything stops: %s", error)
        return str(error)
    return ""


async def roll_all(supervisor: Supervisor) -> None:
    """Replace every process by one that listens where it is looked for. Whoever hands connections on is first."""
    async with supervisor.reconfiguring:
        for actor in sorted(supervisor.actors.values(), key=lambda actor: not actor.spec.listeners):
            report = await actor.roll("the run directory was made anew", actor.spec.start_timeout_s)
            if not report.ok:
                supervisor.history.record("supervisor", f"{report.actor}: {report.text}", level=logging.ERROR)
