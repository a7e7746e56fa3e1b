"""Loads the modules of a process while calls run: half a second of work, for which audio should not wait.

So it is done by a thread that gives way; a whole process that has given way needs privileges to be as urgent as others
again (sched(7)). Knows only the standard library, or it would be what is to be loaded.
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

Manner = Literal["rests", "gives way"]
NICENESS = 10  # a tenth of the weight of who does not give way


def load(modules: Iterable[str], manner: Manner, then: Callable[[], object] = lambda: None) -> threading.Thread:
    """Begin to load these, and call `then` in the end. What can't be loaded ends the process, with a reason.

    Args:
        manner: "rests" while anybody else wants the processor; "gives way", but has a share of it.
    """

    def work() -> None:
        with suppress(OSError):  # forbidden, in some containers
            _calm_down(manner)
        try:
            for module in modules:
                import_module(module)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        then()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _calm_down(manner: Manner) -> None:
    """Of this thread alone."""
    os.sched_setscheduler(0, os.SCHED_IDLE if manner == "rests" else os.SCHED_OTHER, os.sched_param(0))
    if manner == "gives way":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
