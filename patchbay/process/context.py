"""What an actor is given: its settings, who it is, the bus, the gateway's link, and the signs of life it must give."""

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
    """What this process has carried since it started; goes out with every heartbeat."""

    frames_in: int = 0
    frames_out: int = 0

    def fields(self) -> dict[str, int]:
        """As lines of a heartbeat."""
        return {"X_FRAMES_IN": self.frames_in, "X_FRAMES_OUT": self.frames_out}


@dataclass
class Context:
    """Lives as long as the process. `draining` is set once, when the actor has been asked to stop."""

    settings: Settings
    identity: Identity
    bus: Bus
    gateway: GatewayLink
    notifier: Notifier = field(default_factory=lambda: Notifier(None))
    draining: trio.Event = field(default_factory=trio.Event)
    is_ready: trio.Event = field(default_factory=trio.Event)
    progress: Progress = field(default_factory=Progress)

    def ready(self) -> None:
        """Say that this actor can do its work: listening, connected to the bus, state loaded."""
        self.is_ready.set()
        self.notifier.send(READY=1)
