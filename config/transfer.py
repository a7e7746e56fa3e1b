"""Passes accepted settings from the supervisor to the processes that it starts, and to the next supervisor.

They are in a file in memory without a name on any disk: secrets are in no command line, no file and no log. A process
keeps that file open, and the next supervisor reads it there.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from config.loader import ConfigError
from config.settings import Section, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = "patchbay-settings"
_LINK = f"/memfd:{NAME} (deleted)"
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Accepted(msgspec.Struct, frozen=True):
    """Holds settings, and when they were accepted (seconds since 1970)."""

    at: float
    settings: Settings


def encode(accepted: Accepted) -> bytes:
    """Return accepted settings as bytes, with their secrets."""
    return msgspec.msgpack.encode(accepted)


def decode(data: bytes) -> Accepted:
    """Return the settings that `encode` of this or another version has made.

    A setting that this version does not know is left out, one that is missing has its default.

    Raises:
        ConfigError: the bytes can't be read as settings.
    """
    try:
        raw = msgspec.msgpack.decode(data)
        settings = msgspec.convert(_known(Settings, raw["settings"]), Settings)
        return Accepted(float(raw["at"]), settings)
    except (msgspec.MsgspecError, TypeError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ConfigError([f"the settings handed over by the supervisor can't be read: {error}"]) from error


def write(accepted: Accepted) -> int:
    """Return the descriptor of a new file in memory that holds the settings and can't be changed.

    The caller closes it.
    """
    descriptor = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, encode(accepted))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read(descriptor: int) -> Accepted:
    """Return the settings in a file in memory, which other processes may read at the same time.

    Raises:
        ConfigError: the file holds no settings.
        OSError: the file can't be read.
    """
    return decode(os.pread(descriptor, os.fstat(descriptor).st_size, 0))


def newest(pids: Iterable[int]) -> Accepted | None:
    """Return the newest of the settings that these processes were given; None: none of them has any."""
    found = [accepted for pid in pids if (accepted := _of_process(pid)) is not None]
    return max(found, key=lambda accepted: accepted.at, default=None)


def _of_process(pid: int) -> Accepted | None:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError, ConfigError):  # the process may have closed it
                if str(entry.readlink()) == _LINK:
                    return _read_path(entry)
    return None


def _read_path(path: Path) -> Accepted:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read(descriptor)
    finally:
        os.close(descriptor)


def _known(kind: type[Section], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that this version has settings for."""
    known = {}
    for field in msgspec.structs.fields(kind):
        if field.name in values:
            value = values[field.name]
            is_section = isinstance(field.type, type) and issubclass(field.type, Section)
            known[field.name] = _known(field.type, value) if is_section else value
    return known
