"""Names the Unix sockets in the run directory. Pure: `config.paths.unix_path` makes addresses of the names.

The supervisor binds all of them and keeps them listening, so a socket outlives the processes that serve it.

Each process has every endpoint of its actor on the bus twice, in slots `a` and `b`. The generations of the process
alternate between the two: during a roll the old process and the new one never share an endpoint, and a subscriber that
connects to both hears both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config import Settings

CONTROL: Final = "control.sock"  # the supervisor listens: commands of people and of the console, JSON lines
NOTIFY: Final = "notify.sock"  # the supervisor listens: sd_notify datagrams of the actors
ADOPTION: Final = "supervisor.sock"  # the supervisor listens: actors that have outlived the supervisor before it
HANDOVER: Final = "gateway.sock"  # the gateway listens: actors that are handed connections

Slot = Literal["a", "b"]
SLOTS: Final[tuple[Slot, Slot]] = ("a", "b")


def slot_of(generation: int) -> Slot:
    """Return the slot of a generation: the odd ones have `a`, the even ones `b`."""
    return "a" if generation % 2 else "b"


def other_slot(slot: Slot) -> Slot:
    """Return the slot of the generation before, and of the next one."""
    return "b" if slot == "a" else "a"


def endpoint(actor: str, index: int, slot: str, name: str) -> str:
    """Return the name of the socket of one endpoint: `ingest.0.a.pub`."""
    return f"{actor}.{index}.{slot}.{name}"


def endpoints(settings: Settings, actor: str, name: str) -> Iterator[str]:
    """Return the names of the sockets that an endpoint has in all processes of an actor, in both slots."""
    processes = getattr(getattr(settings, actor, None), "processes", 1)
    return (endpoint(actor, index, slot, name) for index in range(processes) for slot in SLOTS)
