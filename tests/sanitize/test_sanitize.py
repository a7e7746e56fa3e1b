"""The C under AddressSanitizer and UndefinedBehaviorSanitizer, as one test."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.system import ROOT
from tests.sanitize.__main__ import NO_SANITIZERS

pytestmark = pytest.mark.slow
TIMEOUT_S = 900.0  # half a minute, on a machine that does nothing else


def test_the_sanitizers_find_nothing() -> None:
    """In a process of its own: the sanitizers' libraries must be loaded before anything else."""
    command = [sys.executable, "-m", "tests.sanitize"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if NO_SANITIZERS in done.stdout:
        pytest.skip(NO_SANITIZERS)
    assert done.returncode == 0, done.stdout + done.stderr
