"""Works out what a change of the configuration means for the actors that run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import msgspec

from supervisor.configuration.specs import COMMON_SECTIONS, SEVERAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import Settings
    from supervisor.configuration.specs import ActorSpec

# The sockets, the lock and the state file are in the run directory: another directory is another supervisor. And a
# node that belongs to another cluster has other actors and another history of events.
FIXED: Final = ("run_dir", "cluster")


@dataclass(frozen=True)
class Refusal:
    """Tells why the configuration that was read last is not in use, and since when (seconds since 1970)."""

    at: float
    why: str


@dataclass(frozen=True)
class Change:
    """Holds what has to be done, each list in the order of the specs.

    Attributes:
        added: processes to be started.
        first: instances to be rolled before any is removed: they hand out connections, and must know where not to.
        removed: instances to be stopped for good.
        rolled: instances whose settings have changed, to be rolled last.
        public: whether the public port is another one.
        refused: settings that can't change while everything runs.
    """

    added: tuple[ActorSpec, ...] = ()
    first: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rolled: tuple[str, ...] = ()
    public: bool = False
    refused: tuple[str, ...] = ()


def steps(old: Settings, new: Settings) -> list[Settings]:
    """Return the settings to be applied one after the other: first with no fewer processes than now, then the new ones.

    A process must be known to all others before it is given connections, and stay known until it has none.
    """
    most = {}
    for name in SEVERAL:
        count = max(getattr(old, name).processes, getattr(new, name).processes)
        most[name] = msgspec.structs.replace(getattr(new, name), processes=count)
    grown = msgspec.structs.replace(new, **most)
    return [new] if grown in (new, old) else [grown, new]


def plan(old: Settings, new: Settings, old_specs: Sequence[ActorSpec], new_specs: Sequence[ActorSpec]) -> Change:
    """Return what differs between two configurations, given the specs that each means."""
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
    """Return the setting or the section of this name, like "ingest.processes" or "ingest"."""
    return reduce(getattr, path.split("."), settings)
