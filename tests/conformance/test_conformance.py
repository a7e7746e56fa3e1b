"""A part of the Autobahn cases, quick ones of every section, on every endpoint."""

from __future__ import annotations

import sys

import pytest
import trio

from tests.e2e.system import ROOT

TIMEOUT_S = 120.0
# One or a few of each section; those of 6.4 wait a second between their parts.
QUICK = (
    "1.1.*", "1.2.7", "2.*", "3.*", "4.1.*", "4.2.*", "5.*", "6.1.*", "6.2.*", "6.4.*", "6.12.*", "6.21.*", "7.1.*",
    "7.3.*", "7.5.1", "7.7.*", "7.9.*", "9.1.1", "9.2.1", "9.3.3", "9.4.1", "9.5.6", "9.7.6", "10.*",
)  # fmt: skip


@pytest.mark.slow
async def test_autobahn() -> None:
    """Strict passes only. In a process of its own, as what runs the cases has a loop of its own."""
    with trio.fail_after(TIMEOUT_S):
        done = await trio.run_process(
            [sys.executable, "-m", "tests.conformance", *QUICK], cwd=ROOT, capture_stdout=True, check=False
        )
    assert done.returncode == 0, done.stdout.decode()
