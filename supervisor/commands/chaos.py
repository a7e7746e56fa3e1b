"""Injects faults into actors on purpose: kills, stops or slows down their processes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from supervisor.actors.process import Process

# Under `slow` a process is stopped and goes on in turns: it runs a fifth of the time.
STOPPED_S = 0.08
RUNNING_S = 0.02


def kill(process: Process) -> str:
    """Kill a process, as the kernel does when memory is out; return what was done."""
    process.signal(signal.SIGKILL)
    return f"sent SIGKILL to pid {process.pid}"


def stop(process: Process) -> str:
    """Stop a process, so that it hangs; return what was done."""
    process.signal(signal.SIGSTOP)
    return f"stopped pid {process.pid}; the watchdog is to notice"


async def slow(process: Process, seconds: float) -> None:
    """Let a process run a fifth of the time only. Cancelling is safe: the process goes on."""
    try:
        with trio.move_on_after(seconds):
            while process.exit is None:
                process.signal(signal.SIGSTOP)
                await trio.sleep(STOPPED_S)
                process.signal(signal.SIGCONT)
                await trio.sleep(RUNNING_S)
    finally:
        process.signal(signal.SIGCONT)
