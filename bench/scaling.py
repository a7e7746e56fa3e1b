"""What a second core brings: two processes of each on two cores, against one of each on one core.

Measured by price, not by saturation, because the generator needs a core too and there may be only two: twice the calls
on two cores at the same price for a frame are twice the capacity.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench import measure, servers
from bench.cache import Unavailable
from bench.generator import GeneratorError, Load
from bench.spread import Spread
from bench.tables import Table, show

if TYPE_CHECKING:
    from bench.servers import Placement

CALLS = 100  # of one core
TARGET = 1.7
ONE = {"PATCHBAY_INGEST__PROCESSES": "1", "PATCHBAY_FANOUT__PROCESSES": "1"}
TWO = {"PATCHBAY_INGEST__PROCESSES": "2", "PATCHBAY_FANOUT__PROCESSES": "2"}


def table(count: int, seconds: float, placement: Placement) -> Table:
    """Measure `count` times; a row for each arrangement."""
    both = replace(placement, server=placement.server | {placement.generator})
    one = replace(servers.PATCHBAY, name="1 core, 1 + 1 processes", environ={**servers.PATCHBAY.environ, **ONE})
    two = replace(servers.PATCHBAY, name="2 cores, 2 + 2 processes", environ={**servers.PATCHBAY.environ, **TWO})
    prices: dict[str, dict[int, float]] = {one.name: {}, two.name: {}}
    for number in range(count):
        for peer, calls, where in ((one, CALLS, placement), (two, CALLS * 2, both)):
            try:
                run = measure.once(peer, Load(calls, seconds=seconds), where)
            except (Unavailable, GeneratorError) as error:
                measure.say(f"scaling            round {number + 1} {peer.name} failed: {error}")
                continue
            measure.say(
                f"scaling            round {number + 1} {peer.name} {run.us_per_delivered:.1f} us/out ok: {run.ok}"
            )
            if run.ok:
                prices[peer.name][number] = run.us_per_delivered
    gains = Spread.of(
        2 * price / prices[two.name][number] for number, price in prices[one.name].items() if number in prices[two.name]
    )
    result = Table("scaling: capacity of two cores", ("arrangement", "calls", "CPU us/delivered", "capacity"))
    result.rows.append((one.name, str(CALLS), show(Spread.of(prices[one.name].values()), 1), "1"))
    result.rows.append((two.name, str(CALLS * 2), show(Spread.of(prices[two.name].values()), 1), show(gains, 2)))
    if gains is not None:
        state = "reached" if gains.median >= TARGET else "MISSED"
        result.notes.append(f"Target: at least {TARGET} x one core; {state} with {gains.text(2)}.")
    return result
