"""The hot path in C, where it could be compiled: shorter ways through the Python that is there, for what is plain.

They are built when Patchbay is installed, where there are a C compiler and Python's headers, and are never required: with
and without them everything happens in the same way. What they may know, and how, says `native.h`.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

log = logging.getLogger(__name__)


def routines(module: str, *, wanted: bool) -> Any | None:
    """Those of a module; None where they are not wanted, or were not built."""
    if wanted:
        try:
            return import_module(module)
        except ImportError:
            log.info("the hot path runs in Python: its routines in C were not built (that takes a C compiler)")
    return None
