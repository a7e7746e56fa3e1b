"""The routines in C: there where they can be, and never needed."""

from __future__ import annotations

import logging
import os
import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.fanout import in_c as fanout
from actors.ingest import in_c as ingest
from actors.runtime import native
from actors.runtime.native import routines
from tests.fakes.native import BUILT, needs_c

PYTHON_H = Path(sysconfig.get_paths()["include"]) / "Python.h"


@pytest.fixture(autouse=True)
def says_it_again() -> None:
    """What is said once for each process is said once for each test."""
    native._say.cache_clear()


@pytest.mark.skipif(not (shutil.which("cc") and PYTHON_H.exists()), reason="there is no compiler, or no Python.h")
def test_built_where_there_is_a_compiler() -> None:
    """By what `./run` and `./test` do first."""
    assert BUILT


def test_not_used_where_they_are_not_wanted() -> None:
    """`PATCHBAY_NATIVE=false`."""
    for get in (fanout.deliver_in_c, fanout.reading_in_c, ingest.reading_in_c, ingest.take_talk_in_c):
        assert get(wanted=False) is None


def test_not_needed(caplog: pytest.LogCaptureFixture) -> None:
    """That they were not built is said, once, and is no error."""
    caplog.set_level(logging.INFO)
    for _ in range(2):
        assert routines("actors.ingest._nothing", wanted=True) is None
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "not built" in caplog.text


@needs_c
def test_of_another_version(caplog: pytest.LogCaptureFixture) -> None:
    """They look for what they expect of our classes: where that is not there, Python does it, and it is said."""
    assert routines("actors.fanout._media", int, int, len, wanted=True) is None
    assert routines("actors.fanout._media", wanted=True) is None
    assert "another version" in caplog.text
    assert fanout.deliver_in_c() is not None


def test_older_than_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patchbay was updated, and what builds it was not run."""
    built, source = tmp_path / "_thing.cpython-311.so", tmp_path / "_thing.c"
    for path in (built, source):
        path.touch()
    thing = SimpleNamespace(__file__=str(built), bind=lambda: None)
    monkeypatch.setattr(native, "import_module", lambda name: thing)
    os.utime(built, (2e9, 2e9))
    assert routines("thing", wanted=True) is thing
    os.utime(source, (3e9, 3e9))
    assert routines("thing", wanted=True) is None
