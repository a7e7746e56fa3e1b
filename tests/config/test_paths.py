"""The run directory and its socket addresses."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from config.paths import (
    UNIX_PATH_MAX_BYTES,
    DataDirError,
    RunDirError,
    check_data_dir,
    ensure_run_dir,
    path_descriptor,
    unix_path,
)

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_directory_is_made_private(tmp_path: Path) -> None:
    run_dir = tmp_path / "deep" / "run"
    assert ensure_run_dir(run_dir)
    assert mode(run_dir) == 0o700
    assert not ensure_run_dir(run_dir)


def test_an_empty_directory_of_ours_is_made_private(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    run_dir.chmod(0o777)
    assert not ensure_run_dir(run_dir)
    assert mode(run_dir) == 0o700


def test_a_directory_in_use_that_others_only_read_is_left_as_it_is(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    run_dir.chmod(0o755)
    (run_dir / "something").touch()
    assert not ensure_run_dir(run_dir)
    assert mode(run_dir) == 0o755


@pytest.mark.parametrize("bits", [0o777, 0o1777, 0o720])
def test_a_directory_that_others_write_to_is_refused(tmp_path: Path, bits: int) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "something").touch()
    run_dir.chmod(bits)
    with pytest.raises(RunDirError, match="other users can write"):
        ensure_run_dir(run_dir)


def test_a_sticky_directory_is_refused_even_when_empty(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    run_dir.chmod(0o1777)
    with pytest.raises(RunDirError, match="other users can write"):
        ensure_run_dir(run_dir)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(RunDirError, match="is not a directory"):
        ensure_run_dir(tmp_path / "run")
    with pytest.raises(RunDirError, match="run_dir = "):
        ensure_run_dir(tmp_path / "run" / "below")


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(RunDirError, match="is not a directory"):
        ensure_run_dir(tmp_path / "run")


def test_another_users_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_run_dir(tmp_path / "run")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(RunDirError, match="another user"):
        ensure_run_dir(tmp_path / "run")


def test_a_short_path_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unix_path("/run/x", "a.sock") == "/run/x/a.sock"
    assert path_descriptor("/run/x/a.sock") is None
    monkeypatch.chdir(tmp_path)
    assert unix_path("run", "a.sock") == str(tmp_path / "run" / "a.sock")


def test_a_long_path_goes_through_a_descriptor(tmp_path: Path) -> None:
    run_dir = tmp_path / ("long" * (UNIX_PATH_MAX_BYTES // 4))
    ensure_run_dir(run_dir)
    address = unix_path(run_dir, "a.sock")
    assert address.startswith("/proc/self/fd/")
    assert address == unix_path(run_dir, "a.sock")
    descriptor = path_descriptor(address)
    assert descriptor is not None
    assert os.path.samestat(os.fstat(descriptor), run_dir.stat())
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as peer:
        listener.bind(address)
        listener.listen()
        assert (run_dir / "a.sock").is_socket()
        peer.connect(address)


def test_a_directory_made_anew_gets_a_new_descriptor(tmp_path: Path) -> None:
    run_dir = tmp_path / ("long" * (UNIX_PATH_MAX_BYTES // 4))
    ensure_run_dir(run_dir)
    unix_path(run_dir, "a.sock")
    run_dir.rmdir()
    ensure_run_dir(run_dir)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(unix_path(run_dir, "a.sock"))
    assert (run_dir / "a.sock").is_socket()


def test_a_data_directory_of_ours_is_taken(tmp_path: Path) -> None:
    """Also one that is not there yet, that a link leads to, or that others may look into."""
    check_data_dir(tmp_path / "not" / "yet")
    data = tmp_path / "data"
    data.mkdir(0o700)
    (data / "journal").touch()
    check_data_dir(data)
    (tmp_path / "link").symlink_to(data)
    check_data_dir(tmp_path / "link")
    data.chmod(0o755)
    check_data_dir(data)


def test_an_empty_data_directory_is_narrowed(tmp_path: Path) -> None:
    """Nobody has anything in it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    check_data_dir(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_data_directory_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """They could put another journal there."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "journal").touch()
    data.chmod(mode)
    with pytest.raises(DataDirError, match=r"^data_dir = .*/data: other users can write .*0700"):
        check_data_dir(data)


def test_what_is_no_data_directory_of_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words that name the setting."""
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match=r"^data_dir = .*/file: is not a directory"):
        check_data_dir(tmp_path / "file")
    with pytest.raises(DataDirError, match=r"^data_dir = "):
        check_data_dir(tmp_path / "file" / "below")
    (tmp_path / "data").mkdir(0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(DataDirError, match="another user"):
        check_data_dir(tmp_path / "data")
