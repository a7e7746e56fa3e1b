"""What a change of the configuration means for the actors that run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import msgspec

from supervisor.configuration.specs import COMMON_SECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import Settings
    from supervisor.configuration.specs import ActorSpec

# The sockets, the lock and the note are there: another place for them is another supervisor.
FIXED = ("run_dir",)
SEVERAL: Final = ("ingest", "fanout")  # actors that may have several processes


@dataclass(frozen=True)
class Change:
    """What is to be done, in the order of the specs.

    Attributes:
        first: instances that are rolled before any is removed: they place connections, and must not place them there again.
        rolled: instances whose settings have changed, and that are rolled last.
        public: the public port is another one.
        refused: settings that can't change while everything runs.
    """

    added: tuple[ActorSpec, ...] = ()
    first: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rolled: tuple[str, ...] = ()
    public: bool = False
    refused: tuple[str, ...] = ()


def steps(old: Settings, new: Settings) -> list[Settings]:
    """Return the settings to be applied one after the other: what gets less does so last, when all else is as it is to be.

    Whoever hears a process must know of it before that process is given connections, and may forget it only when it has none.
    """
    most = {}
    for name in SEVERAL:
        count = max(getattr(old, name).processes, getattr(new, name).processes)
        most[name] = msgspec.structs.replace(getattr(new, name), processes=count)
    grown = msgspec.structs.replace(new, **most)
    return [new] if grown in (new, old) else [grown, new]


def plan(old: Settings, new: Settings, old_specs: Sequence[ActorSpec], new_specs: Sequence[ActorSpec]) -> Change:
    """Compare two configurations and what they say is to run."""
    before = {spec.instance for spec in old_specs}
    after = {spec.instance for spec in new_specs}
    removed = tuple(spec.instance for spec in old_specs if spec.instance not in after)
    rolled = [
        spec
        for spec in new_specs
        if spec.instance in before
        and any(setting(old, path) != setting(new, path) for path in (*COMMON_SECTIONS, *spec.sections))
    ]
    first = [spec for spec in rolled if removed and spec.listeners]
    return Change(
        added=tuple(spec for spec in new_specs if spec.instance not in before),
        first=tuple(spec.instance for spec in first),
        removed=removed,
        rolled=tuple(spec.instance for spec in rolled if spec not in first),
        public=(old.host, old.port) != (new.host, new.port),
        refused=tuple(path for path in FIXED if setting(old, path) != setting(new, path)),
    )


def setting(settings: Settings, path: str) -> Any:
    """Return a setting, or a whole section, by its name, like "ingest.processes"."""
    return reduce(getattr, path.split("."), settings)
