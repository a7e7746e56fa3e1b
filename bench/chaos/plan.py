"""Which faults are done, and in which order. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from bench.chaos.promises import SUPERVISOR, Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

KINDS: tuple[Kind, ...] = ("calm", "kill", "roll", "hang", "pair")


def faults(kind: Kind, names: Sequence[str]) -> list[Fault]:
    """All faults of a kind. A hanging supervisor is nobody's to notice but the one who started it."""
    if kind == "calm":
        return [Fault(kind, ())]
    if kind == "pair":
        return [Fault(kind, pair) for pair in itertools.combinations(names, 2)]
    return [Fault(kind, (name,)) for name in names if (kind, name) != ("hang", SUPERVISOR)]


def order(times: Mapping[Kind, int], names: Sequence[str], random: Random) -> Iterator[Fault]:
    """Every fault of every kind, so many times, in turn: no process is hit twice in a row but by chance."""
    for number in range(max(times.values(), default=0)):
        turn = [fault for kind, count in times.items() if number < count for fault in faults(kind, names)]
        random.shuffle(turn)
        yield from turn
