"""Settings on their way from the supervisor, which has accepted them, to the processes that it starts.

They travel in a file in memory that has no name on any disk: the secrets in them are in no command line, no file and no log. A
process keeps that file open, so the next supervisor finds in it what its predecessor had accepted.
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
    """Settings, and when they were accepted (seconds since 1970)."""

    at: float
    settings: Settings


def encode(accepted: Accepted) -> bytes:
    """Return the accepted settings as bytes, secrets too."""
    return msgspec.msgpack.encode(accepted)


def decode(data: bytes) -> Accepted:
    """Return what `encode` has made, perhaps in another version: a setting that is unknown here is left out, one that is
    missing has its default.

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
    """Return the descriptor of a new file in memory that holds the settings and can't be changed. The caller closes it."""
    descriptor = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, encode(accepted))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read(descriptor: int) -> Accepted:
    """Return the settings in a file in memory; others may be reading it at the same time.

    Raises:
        ConfigError: it holds none.
        OSError: it can't be read.
    """
    return decode(os.pread(descriptor, os.fstat(descriptor).st_size, 0))


def newest(pids: Iterable[int]) -> Accepted | None:
    """Return the settings that were accepted last of those that these processes have been given; None: there are none."""
    found = [accepted for pid in pids if (accepted := _of_process(pid)) is not None]
    return max(found, key=lambda accepted: accepted.at, default=None)


def _of_process(pid: int) -> Accepted | None:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError, ConfigError):  # it may be closed by now
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
    """Return what of these values has a place in this version."""
    known = {}
    for field in msgspec.structs.fields(kind):
        if field.name in values:
            value = values[field.name]
            is_section = isinstance(field.type, type) and issubclass(field.type, Section)
            known[field.name] = _known(field.type, value) if is_section else value
    return known
