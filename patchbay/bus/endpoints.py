"""Names the endpoints of the bus: the Unix sockets of each actor's processes in the run directory. Pure.

The supervisor owns these sockets and keeps them listening. Each process has every endpoint of its actor twice, in slots
`a` and `b`; the generations of the process alternate between the two, so during a roll the old process and the new one
never share an endpoint, and a subscriber that connects to both hears both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config import Settings

Slot = Literal["a", "b"]

SLOTS: Final[tuple[Slot, Slot]] = ("a", "b")


def slot_of(generation: int) -> Slot:
    """Return the slot of a generation: the odd ones have `a`, the even ones `b`."""
    return "a" if generation % 2 else "b"


def other_slot(slot: Slot) -> Slot:
    """Return the slot of the generation before, and of the next one."""
    return "b" if slot == "a" else "a"


def socket_name(actor: str, index: int, slot: str, endpoint: str) -> str:
    """Return the file name of an endpoint's socket in the run directory: `ingest.0.a.pub`."""
    return f"{actor}.{index}.{slot}.{endpoint}"


def socket_names(settings: Settings, actor: str, endpoint: str) -> Iterator[str]:
    """Name the sockets that this endpoint has in all processes of an actor, in both slots."""
    processes = getattr(getattr(settings, actor, None), "processes", 1)
    return (socket_name(actor, index, slot, endpoint) for index in range(processes) for slot in SLOTS)
