"""Whether the routines in C were built here. Where there is a compiler they must have been: `tests.runtime.test_native`."""

from __future__ import annotations

import os

import pytest

from actors.runtime.native import routines

BUILT = (
    routines("actors.fanout._media", wanted=True) is not None
    and routines("actors.ingest._media", wanted=True) is not None
)
needs_c = pytest.mark.skipif(not BUILT, reason="the routines in C were not built: no compiler, or no Python.h")


def examples(usual: int) -> int:
    """How many a test that compares C and Python tries. After a change of the C, hours are worth it: with
    `PATCHBAY_TEST_EXAMPLES` set, as many."""
    return int(os.environ.get("PATCHBAY_TEST_EXAMPLES", usual))
