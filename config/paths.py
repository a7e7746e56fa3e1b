"""The run directory: made private, and its sockets addressed however long its path is. The data directory: checked alike.

Names the sockets in the run directory that processes of more than one kind connect to.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

# sockaddr_un holds 107 bytes and a terminator; libzmq and its peers add nothing, a margin costs nothing.
UNIX_PATH_MAX_BYTES = 100

CONTROL_NAME = "control.sock"  # the supervisor's, for commands
GATEWAY_NAME = "gateway.sock"  # the gateway's, for actors

_directories: dict[str, int] = {}


class DirectoryError(Exception):
    """A directory of ours can't be used; the text says what to change."""


class RunDirError(DirectoryError):
    """The run directory can't be used."""


class DataDirError(DirectoryError):
    """The data directory can't be used."""


def check_data_dir(data_dir: str | Path) -> None:
    """Make sure that nobody else can get at the journal. A directory that is not there yet is made by those who write to it.

    Raises:
        DataDirError: it is not a directory, it is another user's, or others can write to it.
    """
    path = Path(data_dir)
    try:
        _make_private(path.resolve(), f"data_dir = {path}", DataDirError)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataDirError(f"data_dir = {path}: {error.strerror or error}") from error


def ensure_run_dir(run_dir: str | Path) -> bool:
    """Make the run directory if need be, and make sure that nobody else can get at the sockets in it.

    Returns:
        Whether it had to be made (then whoever asked removes it at the end).

    Raises:
        RunDirError: it is not a directory, it is another user's, or others can write to it.
    """
    path = Path(run_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            _make_private(path, f"run_dir = {path}", RunDirError)
            return False
    except OSError as error:
        raise RunDirError(f"run_dir = {path}: {error.strerror or error}") from error
    return True


def unix_path(run_dir: str | Path, name: str) -> str:
    """Return an address for the Unix socket `name` in the run directory, short enough to bind or connect to.

    It is the plain path where that fits, else a path through a descriptor of the directory that this process keeps
    open: good in this process only (see `path_descriptor`). The directory must exist.
    """
    plain = str(Path(run_dir).absolute() / name)
    if len(os.fsencode(plain)) <= UNIX_PATH_MAX_BYTES:
        return plain
    return f"/proc/self/fd/{_descriptor(str(Path(run_dir).absolute()))}/{name}"


def path_descriptor(address: str) -> int | None:
    """Return the descriptor that an address of `unix_path` goes through: a child that is to use it must inherit it."""
    prefix = "/proc/self/fd/"
    return int(address.removeprefix(prefix).split("/")[0]) if address.startswith(prefix) else None


def _descriptor(directory: str) -> int:
    """One descriptor for each directory; opened again when the directory was made anew in between."""
    held = _directories.get(directory)
    if held is not None:
        if _same(held, directory):
            return held
        os.close(held)
    _directories[directory] = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return _directories[directory]


def _same(descriptor: int, directory: str) -> bool:
    return os.path.samestat(os.fstat(descriptor), Path(directory).stat())


def _make_private(path: Path, name: str, error: type[DirectoryError]) -> None:
    """Accept a directory that is already there; a mode too wide is narrowed only where that can surprise nobody.

    Args:
        name: what the directory is called in an error.
    """
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise error(f"{name}: is not a directory")
    if found.st_uid != os.getuid():
        raise error(f"{name}: belongs to another user (uid {found.st_uid})")
    shared = found.st_mode & 0o022 or found.st_mode & stat.S_ISVTX
    if not found.st_mode & 0o077:
        return
    if not found.st_mode & stat.S_ISVTX and not any(path.iterdir()):
        path.chmod(0o700)
    elif shared:
        raise error(f"{name}: other users can write to it; name a directory of its own (mode 0700)")
