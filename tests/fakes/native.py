"""Whether the routines in C were built here. Where there is a compiler they must have been: `tests.runtime.test_native`."""

from __future__ import annotations

import pytest

from actors.runtime.native import routines

BUILT = (
    routines("actors.fanout._media", wanted=True) is not None
    and routines("actors.ingest._media", wanted=True) is not None
)
needs_c = pytest.mark.skipif(not BUILT, reason="the routines in C were not built: no compiler, or no Python.h")
