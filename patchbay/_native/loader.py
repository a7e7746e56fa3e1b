"""The hot path in C, where it could be compiled: shorter ways through the Python that is there, for what is plain.

They are built when Patchbay is installed, where there are a C compiler and Python's headers, and are never required: with
and without them everything happens in the same way. What they may know, and how, says `native.h`.
"""

from __future__ import annotations

import functools
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from patchbay._native.digest import digest

log = logging.getLogger(__name__)


def routines(module: str, *bound: object, wanted: bool) -> Any | None:
    """Those of a module, bound to the classes that they deal with; None where they are not wanted, or can't be had."""
    if not wanted:
        return None
    try:
        native = import_module(module)
    except ImportError:
        _say(logging.INFO, "the hot path runs in Python: its routines in C were not built, which takes a C compiler")
        return None
    try:
        native.bind(*bound)
    except (AttributeError, TypeError) as error:  # what it expects of our classes is not there
        _say(logging.WARNING, f"the hot path runs in Python: its routines in C are of another version ({error})")
        return None
    if _is_of_another_source(native):
        _say(
            logging.WARNING,
            "the hot path runs in Python: its routines in C were built from another source; install again",
        )
        return None
    _say(logging.INFO, "the hot path runs in C")
    return native


def _is_of_another_source(native: Any) -> bool:
    """Whether somebody has updated Patchbay, and not run what builds it. Where there is no source, there is nothing to tell."""
    built = Path(native.__file__)
    try:
        return bool(getattr(native, "SOURCE", "") != digest(built.with_name(built.name.split(".")[0] + ".c")))
    except OSError:
        return False


@functools.cache  # once for each process
def _say(level: int, text: str) -> None:
    log.log(level, text)
