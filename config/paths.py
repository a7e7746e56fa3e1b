"""Makes the run directory private, addresses sockets in it however long its path is, and checks the data directory.

The names of the sockets are in `patchbay.process.socket_names`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

# sockaddr_un holds 107 bytes and a terminator, unix(7); the rest is a margin.
UNIX_PATH_MAX_BYTES = 100

_directories: dict[str, int] = {}


class DirectoryError(Exception):
    """A directory can't be used; the text names the setting and says what to change."""


class RunDirError(DirectoryError):
    """The run directory can't be used."""


class DataDirError(DirectoryError):
    """The data directory can't be used."""


def check_data_dir(data_dir: str | Path) -> None:
    """Make sure that no other user can write to the data directory. One that is not there is made later, by its
    writers.

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
    """Make the run directory if it is not there, and make sure that no other user can reach the sockets in it.

    Returns:
        Whether it was made; the caller removes it in the end.

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

    It is the plain path if that is short enough, else a path through a descriptor of the directory that this process
    keeps open, valid in this process only (see `path_descriptor`). The directory must exist.
    """
    plain = str(Path(run_dir).absolute() / name)
    if len(os.fsencode(plain)) <= UNIX_PATH_MAX_BYTES:
        return plain
    return f"/proc/self/fd/{_descriptor(str(Path(run_dir).absolute()))}/{name}"


def path_descriptor(address: str) -> int | None:
    """Return the descriptor in an address of `unix_path`, which a child must inherit to use the address; None: it has
    none."""
    prefix = "/proc/self/fd/"
    return int(address.removeprefix(prefix).split("/")[0]) if address.startswith(prefix) else None


def _descriptor(directory: str) -> int:
    """Return the one descriptor of a directory; it is opened again if the directory was removed and made again."""
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
    """Accept a directory that is already there; the mode of one that is empty is narrowed to 0700.

    Args:
        name: the name of the directory in the text of an error.

    Raises:
        The given error: it is not a directory, it is another user's, or others can write to it.
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
