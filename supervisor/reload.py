"""What a change of the configuration means for the actors that run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from supervisor.specs import COMMON_SECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import Settings
    from supervisor.specs import ActorSpec

# The sockets, the lock and the note are there: another place for them is another supervisor.
FIXED = ("run_dir",)


@dataclass(frozen=True)
class Change:
    """What is to be done, in the order of the specs."""

    added: tuple[ActorSpec, ...] = ()
    removed: tuple[str, ...] = ()  # instances
    rolled: tuple[str, ...] = ()  # instances whose settings have changed
    public: bool = False  # the public port is another one
    refused: tuple[str, ...] = ()  # settings that can't change while everything runs


def plan(
    old: Settings,
    new: Settings,
    old_specs: Sequence[ActorSpec],
    new_specs: Sequence[ActorSpec],
) -> Change:
    """Compare two configurations and what they say is to run."""
    before = {spec.instance for spec in old_specs}
    after = {spec.instance for spec in new_specs}
    return Change(
        added=tuple(spec for spec in new_specs if spec.instance not in before),
        removed=tuple(spec.instance for spec in old_specs if spec.instance not in after),
        rolled=tuple(
            spec.instance
            for spec in new_specs
            if spec.instance in before
            and any(setting(old, path) != setting(new, path) for path in (*COMMON_SECTIONS, *spec.sections))
        ),
        public=(old.host, old.port) != (new.host, new.port),
        refused=tuple(path for path in FIXED if setting(old, path) != setting(new, path)),
    )


def setting(settings: Settings, path: str) -> Any:
    """Return a setting, or a whole section, by its name, like "ingest.processes"."""
    return reduce(getattr, path.split("."), settings)
