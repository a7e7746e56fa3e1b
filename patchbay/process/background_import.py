"""Imports modules in a thread of low priority, so that audio need not wait for the half second of work.

A thread, since it ends: a process that has lowered its own priority needs privileges to raise it again (sched(7)).
Imports only the standard library, or this module would itself import what is to be imported at low priority.
"""

from __future__ import annotations

import os
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Priority = Literal["idle", "low"]
NICENESS = 10  # a tenth of the processor time of a thread with niceness 0


def load(
    modules: Iterable[str], priority: Priority, on_loaded: Callable[[], object] = lambda: None
) -> threading.Thread:
    """Start a thread that imports these modules and then calls `on_loaded`; return the thread.

    A module that can't be imported ends the process with status 1, after a traceback.

    Args:
        priority: "idle" runs only while no other thread wants the processor; "low" has a small share of it.
    """

    def work() -> None:
        with suppress(OSError):  # forbidden, in some containers
            _lower_priority(priority)
        try:
            for module in modules:
                import_module(module)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        on_loaded()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _lower_priority(priority: Priority) -> None:
    """Lower the priority of the thread that calls, and of no other."""
    os.sched_setscheduler(0, os.SCHED_IDLE if priority == "idle" else os.SCHED_OTHER, os.sched_param(0))
    if priority == "low":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
