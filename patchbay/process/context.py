"""Holds what an actor is given: settings, identity, bus, link to the gateway, notifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from patchbay.process.sd_notify import Notifier

if TYPE_CHECKING:
    from config import Settings
    from patchbay.bus.sockets import Bus
    from patchbay.handover.link import GatewayLink
    from patchbay.process.identity import Identity


@dataclass
class Progress:
    """Counts the frames of this process since its start; every heartbeat carries them."""

    frames_in: int = 0
    frames_out: int = 0

    def fields(self) -> dict[str, int]:
        """Return the counters as fields of a heartbeat."""
        return {"X_FRAMES_IN": self.frames_in, "X_FRAMES_OUT": self.frames_out}


@dataclass
class Context:
    """Holds what an actor is given, as long as the process lives.

    Attributes:
        draining: set once, when the actor is asked to stop.
        is_ready: set by `ready`.
    """

    settings: Settings
    identity: Identity
    bus: Bus
    gateway: GatewayLink
    notifier: Notifier = field(default_factory=lambda: Notifier(None))
    draining: trio.Event = field(default_factory=trio.Event)
    is_ready: trio.Event = field(default_factory=trio.Event)
    progress: Progress = field(default_factory=Progress)

    def ready(self) -> None:
        """Tell the supervisor that this actor works: it listens, is connected to the bus, and has loaded its state."""
        self.is_ready.set()
        self.notifier.send(READY=1)
