"""Settings reach a process as they were accepted, from another version too, and by no file that has a name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from config import ConfigError, Settings, find_run_dir, load, transfer
from config.loader import default_run_dir
from config.settings import AuthSettings
from config.transfer import Accepted

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PATCHBAY_GATEWAY__PARK_TIME_S": "inf", "PATCHBAY_INGEST__PROCESSES": "3"},
        {"PATCHBAY_AUTH__ALLOWED_ORIGINS": "https://a.example,https://b.example"},
    ],
)
def test_they_arrive_as_they_were(environ: dict[str, str]) -> None:
    """Also numbers that JSON has not."""
    accepted = Accepted(12.5, load(environ))
    assert transfer.decode(transfer.encode(accepted)) == accepted


def test_another_version() -> None:
    """What is unknown here is left out, what is missing has its default; what is of another kind is an error."""
    raw = {
        "at": 1,
        "more": 2,
        "settings": {"port": 5007, "gone": 1, "auth": {"leeway_s": 3.0, "gone": [1]}, "later": {}},
    }
    found = transfer.decode(msgspec.msgpack.encode(raw)).settings
    assert found == Settings(port=5007, auth=AuthSettings(leeway_s=3.0))
    for bad in (b"", b"\x93", msgspec.msgpack.encode({"at": 1, "settings": {"port": "x"}}), msgspec.msgpack.encode([])):
        with pytest.raises(ConfigError):
            transfer.decode(bad)


def test_a_file_without_a_name() -> None:
    """It can't be changed, is not inherited by accident, and is found by whoever may look into the process."""
    older = Accepted(1.0, Settings(port=1))
    assert transfer.newest([os.getpid()]) is None
    first = transfer.write(older)
    try:
        assert not os.get_inheritable(first)
        with pytest.raises(PermissionError):
            os.write(first, b"x")
        assert transfer.read(first) == transfer.read(first) == transfer.newest([os.getpid(), 2**22 + 1]) == older
    finally:
        os.close(first)
    assert transfer.newest([]) is None


DEFAULT = default_run_dir({})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('run_dir = "/a"\n', "/a"),
        ('run_dir = "/a"\nport = "no number"\n', "/a"),
        ('run_dir = "/a"\nnonsense = 1\n', "/a"),
        ('host = = 1\nrun_dir = "/a"  # here\n[gateway\n', "/a"),
        ("run_dir = 7\n", DEFAULT),
        ('[gateway]\nrun_dir = "/a"\n[[[\n', DEFAULT),
        ("\x00\x00", DEFAULT),
        ("", DEFAULT),
    ],
)
def test_where_a_supervisor_is_found(tmp_path: Path, text: str, found: str) -> None:
    """With a configuration that can't be used, too; the environment wins."""
    config = tmp_path / "patchbay.toml"
    config.write_text(text)
    environ = {"PATCHBAY_CONFIG": str(config)}
    assert find_run_dir(environ) == found
    assert find_run_dir({**environ, "PATCHBAY_RUN_DIR": "/b"}) == "/b"
    assert find_run_dir({**environ, "PATCHBAY_RUN_DIR": ""}) == DEFAULT
    assert find_run_dir({"PATCHBAY_CONFIG": str(tmp_path / "missing")}) == DEFAULT
    assert find_run_dir({"PATCHBAY_CONFIG": str(tmp_path)}) == DEFAULT
