"""How a process ended, and how to say so. Pure."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

# sysexits.h: what is wrong is in the configuration or the installation, so starting again does not mend it.
CONFIGURATION_ERRORS = range(64, 79)


@dataclass(frozen=True)
class Exit:
    """How a process ended: by itself with a code, by a signal, or unknown (it was not our child)."""

    code: int | None = None
    signal: int | None = None

    @property
    def clean(self) -> bool:
        return self.code == 0

    @property
    def configuration_error(self) -> bool:
        return self.code is not None and self.code in CONFIGURATION_ERRORS

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {signal_name(self.signal)}"
        if self.code is None:
            return "ended, exit status unknown"
        return f"exit status {self.code}"


def signal_name(number: int) -> str:
    """Return "SIGKILL" for 9; a number that has no name here is shown as it is."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def from_waitid(result: os.waitid_result) -> Exit:
    """Translate what the kernel says of a child that is gone."""
    if result.si_code == os.CLD_EXITED:
        return Exit(code=result.si_status)
    return Exit(signal=result.si_status)


def unplanned(ended: Exit) -> str:
    """Say how a process ended that nobody had asked to end, with the likely cause where there is one."""
    if ended.signal == signal.SIGKILL:
        return f"{ended}, not by the supervisor (out of memory, or by hand)"
    if ended.clean:
        return f"{ended}, though nobody asked it to end"
    if ended.configuration_error:
        return f"{ended}, a configuration error"
    return str(ended)
