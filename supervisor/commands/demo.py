"""Runs Patchbay with simulated calls, for trying: `patchbay demo`.

The supervisor and the simulator are two children, each in a session of its own, so that Ctrl-C reaches this process
only and each of them is asked to stop once.
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from subprocess import DEVNULL
from typing import TYPE_CHECKING

import trio

from supervisor.takeover.upgrade import program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CALLS = (sys.executable, "-m", "simulator", "demo")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> int:
    """Run until the supervisor ends; return its exit status, 0 if it was asked to stop."""
    return trio.run(_run)


async def _run() -> int:
    stopping = trio.Event()
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            supervisor = await _start(nursery, [*program(), "run"])
            calls = await _start(nursery, CALLS)
            nursery.start_soon(_stop_on_signal, signals, (calls, supervisor), stopping)
            await supervisor.wait()
            nursery.cancel_scope.cancel()  # sends SIGTERM to the simulator and waits for it
    status = supervisor.returncode
    assert status is not None
    if status < 0:  # ended by a signal, as a process is that is asked to stop before it has a handler
        return 0 if stopping.is_set() else 128 - status
    return status


async def _start(nursery: trio.Nursery, command: list[str] | tuple[str, ...]) -> trio.Process:
    start = partial(trio.run_process, command, check=False, stdin=DEVNULL, start_new_session=True)
    process: trio.Process = await nursery.start(start)
    return process


async def _stop_on_signal(
    signals: AsyncIterator[int], processes: tuple[trio.Process, ...], stopping: trio.Event
) -> None:
    """Send SIGTERM to the children whenever this process is asked to stop; a second one stops them at once."""
    async for _ in signals:
        stopping.set()
        for process in processes:
            process.terminate()
