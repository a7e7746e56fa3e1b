"""The routines in C: there where they can be, and never needed."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.fanout import native as fanout
from actors.ingest import native as ingest
from patchbay._native import loader
from patchbay._native.digest import digest
from patchbay._native.loader import load_routines
from tests.fakes.native import BUILT, needs_c

ROOT = Path(__file__).parents[3]
PYTHON_H = Path(sysconfig.get_paths()["include"]) / "Python.h"


@pytest.fixture(autouse=True)
def says_it_again() -> None:
    """What is said once for each process is said once for each test."""
    loader._log_once.cache_clear()


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
        assert load_routines("actors.ingest._nothing", wanted=True) is None
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "not built" in caplog.text


@needs_c
def test_of_another_version(caplog: pytest.LogCaptureFixture) -> None:
    """They look for what they expect of our classes: where that is not there, Python does it, and it is said."""
    assert load_routines("patchbay._native.fanout_media", int, int, len, wanted=True) is None
    assert load_routines("patchbay._native.fanout_media", wanted=True) is None
    assert "another version" in caplog.text
    assert fanout.deliver_in_c() is not None


def test_of_another_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Patchbay was updated, and what builds it was not run. Times say nothing: copying changes them."""
    built, source = tmp_path / "_thing.cpython-311.so", tmp_path / "_thing.c"
    built.touch()
    source.write_text("int one;")
    thing = SimpleNamespace(__file__=str(built), bind=lambda: None, SOURCE=digest(source))
    monkeypatch.setattr(loader, "import_module", lambda name: thing)
    for at in (1e9, 3e9):
        os.utime(source, (at, at))
        assert load_routines("thing", wanted=True) is thing
    source.write_text("int two;")
    os.utime(source, (1e9, 1e9))
    assert load_routines("thing", wanted=True) is None
    assert "built from another source" in caplog.text
    source.unlink()  # installed from a wheel without them
    assert load_routines("thing", wanted=True) is thing


@needs_c
def test_a_copied_checkout(tmp_path: Path) -> None:
    """Uses its C, whatever the times of its files are."""
    copy = shutil.copytree(ROOT / "patchbay", tmp_path / "patchbay")
    for room in ("actors", "config"):
        shutil.copytree(ROOT / room, tmp_path / room)
    for number, path in enumerate(sorted([*copy.rglob("*.so"), *copy.rglob("*.[ch]")])):
        at = 2e9 if path.suffix == ".so" else 2e9 + number
        os.utime(path, (at, at))
    code = (
        "from actors.fanout import native as fanout; from actors.ingest import native as ingest; import patchbay;"
        "print(patchbay.__file__, None not in (fanout.deliver_in_c(), fanout.reading_in_c(), ingest.reading_in_c(), "
        "ingest.take_talk_in_c()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(copy / "__init__.py"), "True"]


def test_the_name_of_a_source(tmp_path: Path) -> None:
    """Changes with what is in it, and with the headers."""
    source = tmp_path / "a.c"
    source.write_text("x")
    before = digest(source)
    assert digest(source) == before
    source.write_text("y")
    assert digest(source) != before
    with pytest.raises(FileNotFoundError):
        digest(tmp_path / "b.c")
