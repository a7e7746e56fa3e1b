"""Reads secrets from files, and refuses a file that every user of the machine can read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from config.settings import SECRETS, Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.settings import Settings

FILE_MAX_BYTES = 64 * 1024
SUFFIX = "_file"


def resolve(settings: Settings, problems: list[str]) -> Settings:
    """Return the settings with the content of the files that the `…_file` settings name; append to `problems`."""
    changed = {}
    for name in settings.__struct_fields__:
        section = getattr(settings, name)
        if isinstance(section, Section):
            values = _values(section, name, problems)
            if values:
                changed[name] = msgspec.structs.replace(section, **values)
    return msgspec.structs.replace(settings, **changed) if changed else settings


def holds_secret(values: Mapping[str, Any]) -> bool:
    """Return whether the values of a configuration file hold a secret."""
    sections = (value for value in values.values() if isinstance(value, dict))
    return any(key in SECRETS for section in sections for key in section)


def exposure(path: str) -> str | None:
    """Return the problem of a file with a secret that every user can read; None: there is no problem.

    Raises:
        OSError: the mode of the file can't be read.
    """
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    if mode & stat.S_IRWXO:
        return f"{path} holds a secret and can be read by every user (mode {mode:04o}): chmod 600 {path}"
    return None


def _values(section: Section, name: str, problems: list[str]) -> dict[str, str]:
    found = {}
    for key in section.__struct_fields__:
        base = key.removesuffix(SUFFIX)
        path = getattr(section, key)
        if base == key or base not in section.__struct_fields__ or path is None:
            continue
        if getattr(section, base) is not None:
            problems.append(f"{name}.{key}: {name}.{base} is set too; set one of them")
            continue
        text = _read(f"{name}.{key}", path, problems, secret=base in SECRETS)
        if text is not None:
            found[base] = text
    return found


def _read(setting: str, path: str, problems: list[str], *, secret: bool) -> str | None:
    try:
        if secret and (complaint := exposure(path)) is not None:
            problems.append(f"{setting}: {complaint}")
            return None
        with Path(path).open("rb") as file:
            text = file.read(FILE_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not text"
        problems.append(f"{setting}: {path}: {why}")
        return None
    if not text:
        problems.append(f"{setting}: {path} is empty")
        return None
    return text
