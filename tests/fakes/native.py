"""Whether the routines in C were built here. Where there is a compiler they must have been:
`tests.patchbay.native.test_loader`."""

from __future__ import annotations

import os

import pytest

from actors.fanout import native as fanout
from actors.ingest import native as ingest

BUILT = None not in (fanout.deliver_in_c(), fanout.reading_in_c(), ingest.reading_in_c(), ingest.take_talk_in_c())
needs_c = pytest.mark.skipif(not BUILT, reason="the routines in C were not built: no compiler, or no Python.h")


def examples(usual: int) -> int:
    """How many a test that compares C and Python tries. After a change of the C, hours are worth it: with
    `PATCHBAY_TEST_EXAMPLES` set, as many."""
    return int(os.environ.get("PATCHBAY_TEST_EXAMPLES", usual))
