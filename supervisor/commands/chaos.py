"""Does harm on purpose, so that people can see for themselves what comes of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from supervisor.actors.process import Process

# A process under `slow` runs in the gaps only, a fifth of the time.
STOPPED_S = 0.08
RUNNING_S = 0.02


def kill(process: Process) -> str:
    """End it as a crash of the machine's making would."""
    process.signal(signal.SIGKILL)
    return f"sent SIGKILL to pid {process.pid}"


def stop(process: Process) -> str:
    """Have it hang."""
    process.signal(signal.SIGSTOP)
    return f"stopped pid {process.pid}; the watchdog is to notice"


async def slow(process: Process, seconds: float) -> None:
    """Let it run a fifth of the time only. Cancelling is safe: it is never left stopped."""
    try:
        with trio.move_on_after(seconds):
            while process.exit is None:
                process.signal(signal.SIGSTOP)
                await trio.sleep(STOPPED_S)
                process.signal(signal.SIGCONT)
                await trio.sleep(RUNNING_S)
    finally:
        process.signal(signal.SIGCONT)
