"""Describes how a process ended. Pure."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

# sysexits.h: the fault is in the configuration or the installation, so starting again does not help.
CONFIGURATION_ERRORS = range(64, 79)


@dataclass(frozen=True)
class Exit:
    """Holds the exit status or the signal that ended a process; neither is known of a process that was not our
    child."""

    code: int | None = None
    signal: int | None = None

    @property
    def clean(self) -> bool:
        """Return whether the exit status is 0."""
        return self.code == 0

    @property
    def configuration_error(self) -> bool:
        """Return whether the exit status says that starting again does not help."""
        return self.code is not None and self.code in CONFIGURATION_ERRORS

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {signal_name(self.signal)}"
        if self.code is None:
            return "ended, exit status unknown"
        return f"exit status {self.code}"


def signal_name(number: int) -> str:
    """Return the name of a signal, "SIGKILL" for 9; "signal 200" for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def from_waitid(result: os.waitid_result) -> Exit:
    """Return how a child ended, from the result of waitid(2)."""
    if result.si_code == os.CLD_EXITED:
        return Exit(code=result.si_status)
    return Exit(signal=result.si_status)


def describe_unplanned(ended: Exit) -> str:
    """Return in words how a process ended that was not asked to, with the likely cause if there is one."""
    if ended.signal == signal.SIGKILL:
        return f"{ended}, not by the supervisor (out of memory, or by hand)"
    if ended.clean:
        return f"{ended}, though nobody asked it to end"
    if ended.configuration_error:
        return f"{ended}, a configuration error"
    return str(ended)
