"""Loads the hot paths in C, and binds them to the classes that they work on.

They are built when Patchbay is installed, if there are a C compiler and Python's headers. They are never required: each
does exactly what its Python does, for the most frequent case (`native.h`).
"""

from __future__ import annotations

import functools
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from patchbay._native.digest import digest

log = logging.getLogger(__name__)


def load_routines(module: str, *bound: object, wanted: bool) -> Any | None:
    """Load a module of routines in C, and bind it to classes and functions.

    Returns:
        The module; None when it is not wanted, was not built, or was built from other sources. The reason is logged
        once.
    """
    if not wanted:
        return None
    try:
        native = import_module(module)
    except ImportError:
        _log_once(
            logging.INFO, "the hot path runs in Python: its routines in C were not built, which takes a C compiler"
        )
        return None
    try:
        native.bind(*bound)
    except (AttributeError, TypeError) as error:  # a class has not the expected slots
        _log_once(logging.WARNING, f"the hot path runs in Python: its routines in C are of another version ({error})")
        return None
    if _is_of_another_source(native):
        _log_once(
            logging.WARNING,
            "the hot path runs in Python: its routines in C were built from another source; install again",
        )
        return None
    _log_once(logging.INFO, "the hot path runs in C")
    return native


def _is_of_another_source(native: Any) -> bool:
    """Tell whether a module was built from other sources than those installed. False where no sources are installed."""
    built = Path(native.__file__)
    try:
        return bool(getattr(native, "SOURCE", "") != digest(built.with_name(built.name.split(".")[0] + ".c")))
    except OSError:
        return False


@functools.cache  # once for each process
def _log_once(level: int, text: str) -> None:
    log.log(level, text)
