"""Identifies a process of an actor, as the supervisor has set it in the environment."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchbay.process.socket_names import slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patchbay.process.socket_names import Slot


@dataclass(frozen=True)
class Identity:
    """Identifies one process of one actor.

    Attributes:
        index: the number of the process among those of its actor, from 0.
        generation: grows with each start; two generations run side by side during a roll.
        epoch: a number of this process alone; processes that are started later have higher ones.
        fds: descriptors that the supervisor has passed on, by name.
        lifeline: the descriptor that is closed when the supervisor ends; None: there is no supervisor.
        settings: the descriptor of the settings that the supervisor has accepted (`config.transfer`). It stays open:
            the next supervisor reads it. None: the process reads the configuration itself.
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
        """Return the name of the process, like `ingest.0`."""
        return f"{self.name}.{self.index}"

    @property
    def slot(self) -> Slot:
        """Return the slot of this generation's bus endpoints; the next generation has the other one."""
        return slot_of(self.generation)

    @classmethod
    def from_environment(cls, name: str, environ: Mapping[str, str] = os.environ) -> Identity:
        """Return the identity that the environment gives.

        Raises:
            ValueError: a variable of the supervisor has a wrong value.
        """
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
