"""Reads settings from the TOML file that PATCHBAY_CONFIG names and from the environment, which wins.

Types and bounds are declared in `config.settings`, rules between settings in `config.checks`. All problems are reported
at once.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
import types
import typing
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from config.checks import find_problems
from config.secret_files import exposure, holds_secret, resolve
from config.settings import Section, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "PATCHBAY_"
# Variables that are no settings: the path of the configuration file, and what the supervisor tells an actor.
NOT_SETTINGS = frozenset({"CONFIG"})
NOT_SETTINGS_PREFIX = "ACTOR_"
TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class ConfigError(Exception):
    """The settings can't be used. The text has a line for each problem, and holds no value of a secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings that the configuration file and the environment give.

    Raises:
        ConfigError: with every problem found: unreadable file, unknown key, wrong type, out of bounds, or settings that
            contradict each other.
    """
    problems: list[str] = []
    values = _read_file(environ.get(f"{PREFIX}CONFIG"), problems)
    _overlay(values, environ, problems)
    settings: Settings = _build(Settings, values, "", problems)
    if problems:
        raise ConfigError(problems)
    settings = msgspec.structs.replace(settings, run_dir=settings.run_dir or default_run_dir(environ))
    settings = resolve(settings, problems)
    problems += find_problems(settings)
    if problems:
        raise ConfigError(problems)
    return settings


def find_run_dir(environ: Mapping[str, str]) -> str:
    """Return the run directory, even of a configuration that can't be used: there a running supervisor is asked.

    It is PATCHBAY_RUN_DIR, else `run_dir` in the configuration file, even in one with errors elsewhere, else the
    default.
    """
    given = environ.get(f"{PREFIX}RUN_DIR")  # wins even when it is empty, as in `load`
    return (_run_dir_of_file(environ.get(f"{PREFIX}CONFIG")) if given is None else given) or default_run_dir(environ)


def from_environment(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the environment variables that give settings, which can't change while the process lives."""
    return sorted(variable for variable in environ if _setting_name(variable))


def default_run_dir(environ: Mapping[str, str]) -> str:
    """Return the run directory of this user: under XDG_RUNTIME_DIR if there is one, else under the temporary
    directory."""
    base = environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir():
        return str(Path(base) / "patchbay")
    return str(Path(tempfile.gettempdir()) / f"patchbay-{os.getuid()}")


def _read_file(path: str | None, problems: list[str]) -> dict[str, Any]:
    if not path:
        return {}
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        if holds_secret(values) and (complaint := exposure(path)) is not None:
            problems.append(f"PATCHBAY_CONFIG: {complaint}")
        return values
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"PATCHBAY_CONFIG={path}: {error}")
        return {}


def _run_dir_of_file(path: str | None) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace") if path else ""
    except (OSError, ValueError):
        return ""
    with suppress(tomllib.TOMLDecodeError):
        return _run_dir_of(text)
    for line in text.splitlines():  # the error may be in another line
        if line.lstrip().startswith("["):
            break
        with suppress(tomllib.TOMLDecodeError):
            if found := _run_dir_of(line):
                return found
    return ""


def _run_dir_of(text: str) -> str:
    found = tomllib.loads(text).get("run_dir")
    return found if isinstance(found, str) else ""


def _setting_name(variable: str) -> str:
    """Return the setting that an environment variable gives, in capitals; empty: it gives none."""
    name = variable.removeprefix(PREFIX)
    return "" if name == variable or name in NOT_SETTINGS or name.startswith(NOT_SETTINGS_PREFIX) else name


def _overlay(values: dict[str, Any], environ: Mapping[str, str], problems: list[str]) -> None:
    for variable, text in sorted(environ.items()):
        name = _setting_name(variable)
        if not name:
            continue
        section, _, key = name.lower().rpartition("__")
        target = values.setdefault(section, {}) if section else values
        if not isinstance(target, dict):
            problems.append(f"{variable}: there is no section {section!r}")
            continue
        target[key] = text


def _build(kind: type[Any], values: dict[str, Any], path: str, problems: list[str]) -> Any:
    """Return a section of this kind; convert key by key, so that every problem is reported with its key."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}{key}"
        if key not in hints:
            problems.append(f"{name}: unknown setting")
        elif isinstance(hints[key], type) and issubclass(hints[key], Section):
            if isinstance(value, dict):
                found[key] = _build(hints[key], value, f"{name}.", problems)
            else:
                problems.append(f"{name}: is a section, not a value")
        else:
            try:
                found[key] = _convert(value, hints[key])
            except (msgspec.ValidationError, ValueError) as error:
                problems.append(f"{name}: {error}")
    return kind(**found)


def _convert(value: Any, hint: Any) -> Any:
    """Return a TOML value, or the text of an environment variable, converted to the type of the hint."""
    if isinstance(value, str):
        base = _base_type(hint)
        if base is bool:
            if value.lower() in TRUE | FALSE:
                return value.lower() in TRUE
            raise ValueError("expected true or false")
        if base is tuple:
            value = [part.strip() for part in value.split(",") if part.strip()]
    return msgspec.convert(value, hint, strict=False)


def _base_type(hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _base_type(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return _base_type(typing.get_args(hint)[0])
    return origin or hint
