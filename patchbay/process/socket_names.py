"""Names the Unix sockets in the run directory. Pure: `config.paths.unix_path` makes addresses of the names.

The supervisor binds all of them, so that a socket outlives the processes that serve it.
"""

from __future__ import annotations

from typing import Final, Literal

CONTROL: Final = "control.sock"  # the supervisor listens: commands of people and of the console, JSON lines
NOTIFY: Final = "notify.sock"  # the supervisor listens: sd_notify datagrams of the actors
ADOPTION: Final = "supervisor.sock"  # the supervisor listens: actors that have outlived the supervisor before it
HANDOVER: Final = "gateway.sock"  # the gateway listens: actors that are handed connections

# Two generations of one actor never share a ZeroMQ endpoint: the odd ones have slot a, the even ones slot b.
Slot = Literal["a", "b"]
SLOTS: Final[tuple[Slot, Slot]] = ("a", "b")


def slot_of(generation: int) -> Slot:
    """Return the slot of the bus endpoints that this generation of an actor has."""
    return SLOTS[(generation + 1) % 2]


def endpoint(actor: str, index: int, slot: str, name: str) -> str:
    """Return the name of the socket of one ZeroMQ endpoint, like `ingest.0.a.pub`."""
    return f"{actor}.{index}.{slot}.{name}"
