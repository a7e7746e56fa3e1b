"""What a call and what a listener cost in memory: the difference that many more of them make."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench import measure
from bench.cache import Unavailable
from bench.generator import GeneratorError, Load
from bench.servers import NODE_WS
from bench.spread import Spread, ratios
from bench.tables import Table, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.servers import Peer, Placement

FEW = Load(10, 2, fps=25, seconds=2)
MANY_CALLS = Load(210, 0, fps=25, seconds=2)
FEW_CALLS = Load(10, 0, fps=25, seconds=2)
MANY_LISTENERS = Load(10, 42, fps=25, seconds=2)
MORE = 200  # calls
MORE_LISTENERS = 400


class Cost(NamedTuple):
    """In KiB, of user memory: what the kernel keeps for a socket is not in it."""

    call: float
    listener: float
    idle_mib: float


def costs(peers: Sequence[Peer], count: int, placement: Placement) -> dict[str, dict[int, Cost]]:
    """Measure every peer `count` times in turn."""
    found: dict[str, dict[int, Cost]] = {}
    for number in range(count):
        for peer in peers:
            try:
                cost = _cost(peer, placement)
            except (Unavailable, GeneratorError) as error:
                measure.say(f"memory             round {number + 1} {peer.name:15} failed: {error}")
                continue
            found.setdefault(peer.name, {})[number] = cost
            measure.say(
                f"memory             round {number + 1} {peer.name:15} {cost.call:.1f} KiB a call, {cost.listener:.1f} KiB a listener"
            )
    return found


def table(found: dict[str, dict[int, Cost]]) -> Table:
    """A row for each peer."""
    result = Table(
        "memory: of a call and of a listener (proportional set size of all processes)",
        ("server", "KiB/call", "ratio to node-ws", "KiB/listener", "ratio to node-ws (listener)", "10 calls MiB"),
    )
    reference = found.get(NODE_WS.name, {})
    for name, by_round in found.items():
        cells = [name]
        for which in (0, 1):
            ours = {number: cost[which] for number, cost in by_round.items()}
            theirs = {number: cost[which] for number, cost in reference.items()}
            cells += [show(Spread.of(ours.values()), 1), show(ratios(ours, theirs), 2)]
        result.rows.append((*cells, show(Spread.of(cost.idle_mib for cost in by_round.values()), 0)))
    return result


def _cost(peer: Peer, placement: Placement) -> Cost:
    few, many_calls, few_calls, many_listeners = (
        measure.once(peer, load, placement).pss_mib * 1024 for load in (FEW, MANY_CALLS, FEW_CALLS, MANY_LISTENERS)
    )
    return Cost((many_calls - few_calls) / MORE, (many_listeners - few) / MORE_LISTENERS, few / 1024)
