"""Which process this is: said by the supervisor in the environment, used in every log line and bus frame."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchbay.bus.endpoints import slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patchbay.bus.endpoints import Slot


@dataclass(frozen=True)
class Identity:
    """One process of one actor.

    Attributes:
        index: which of the processes of this actor, from 0.
        generation: how many times it was started; two generations live side by side during a roll.
        epoch: names this process alone, and later ones have higher numbers.
        fds: descriptors that the supervisor passed on, by name.
        settings: the descriptor of the settings that the supervisor has accepted (`config.transfer`). It stays open: the
            next supervisor reads it.
    """

    name: str
    index: int = 0
    generation: int = 1
    epoch: int = field(default_factory=time.time_ns)
    fds: Mapping[str, int] = field(default_factory=dict)
    lifeline: int | None = None
    settings: int | None = None

    @property
    def instance(self) -> str:
        """`ingest.0`."""
        return f"{self.name}.{self.index}"

    @property
    def slot(self) -> Slot:
        """Return the slot of this process's endpoints on the bus."""
        return slot_of(self.generation)

    @classmethod
    def from_environment(cls, name: str, environ: Mapping[str, str] = os.environ) -> Identity:
        """Read what the supervisor said. Raises ValueError when it is not what a supervisor says."""
        pairs = [pair.rpartition(":") for pair in environ.get("PATCHBAY_ACTOR_FDS", "").split(",") if pair]
        fds = {key: int(fd) for key, _, fd in pairs}
        settings = fds.pop("settings", None)
        lifeline = environ.get("PATCHBAY_ACTOR_LIFELINE")
        return cls(
            name=name,
            index=int(environ.get("PATCHBAY_ACTOR_INDEX", "0")),
            generation=int(environ.get("PATCHBAY_ACTOR_GENERATION", "1")),
            fds=fds,
            lifeline=int(lifeline) if lifeline else None,
            settings=settings,
        )
