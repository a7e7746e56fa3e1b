"""The routines in C: there where they can be, and never needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from actors.ingest.in_c import reading_in_c
from actors.runtime.native import routines

ROOT = Path(__file__).parents[2]
MODULES = sorted(str(path.relative_to(ROOT))[:-2].replace("/", ".") for path in (ROOT / "actors").glob("*/_*.c"))
PYTHON_H = Path(sysconfig.get_paths()["include"]) / "Python.h"


def test_there_are_some() -> None:
    """Or the other tests would test nothing."""
    assert len(MODULES) == 4


@pytest.mark.skipif(not (shutil.which("cc") and PYTHON_H.exists()), reason="there is no compiler, or no Python.h")
@pytest.mark.parametrize("module", MODULES)
def test_built_where_there_is_a_compiler(module: str) -> None:
    """By what `./run` and `./test` do first."""
    assert routines(module, wanted=True) is not None


@pytest.mark.parametrize("module", MODULES)
def test_not_used_where_they_are_not_wanted(module: str) -> None:
    """`PATCHBAY_NATIVE=false`."""
    assert routines(module, wanted=False) is None
    assert reading_in_c(wanted=False) is None


def test_not_needed() -> None:
    """One that was not built is said, once, and is no error."""
    code = (
        "import logging; logging.basicConfig(level='INFO');"
        "from actors.runtime.native import routines; assert routines('actors.ingest._nothing', wanted=True) is None"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "not built" in done.stderr
