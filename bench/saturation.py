"""How many calls a server carries on its cores: the most with p99 in bounds and nothing lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import measure
from bench.cache import Unavailable
from bench.generator import GeneratorError, Load, Run
from bench.servers import NODE_WS, PATCHBAY
from bench.spread import Spread, ratios
from bench.tables import Table, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.servers import Peer, Placement

P99_MAX_MS = 40.0
FIRST_CALLS = 60
GROWTH = 1.5
STEP = 1.06  # the search ends when good and bad are this close
QUICK_STEP = 1.12
MOST_CALLS = 3000
GENERATOR_MAX = 0.92  # of its core; above, the generator may be what fails
TARGET = 2.0
HALF_LOAD_P99_MS = 10.0


@dataclass(frozen=True)
class Saturation:
    """What a search found. `best`: the last good run. `half`: at half as many calls."""

    peer: str
    round: int
    calls: int
    best: Run | None
    half: Run | None

    @property
    def generator_limited(self) -> bool:
        """Whether the generator was at its own end, so that the server might carry more."""
        return self.best is not None and self.best.generator_busy > GENERATOR_MAX


def climb(good: Callable[[int], bool], first: int, step: float, most: int = MOST_CALLS) -> int:
    """The greatest number that is good: up in big steps, then halving the rest. Pure.

    A failure counts only when seen twice, because a busy machine fails anybody once.
    """

    def surely(calls: int) -> bool:
        return good(calls) or good(calls)

    low, high = 0, first
    while high <= most and surely(high):
        low, high = high, round(high * GROWTH)
    while low == 0 and high > 1:
        high //= 2
        if surely(high):
            low, high = high, high * 2
    while high > low * step and high - low > 1:
        middle = (low + high) // 2
        if surely(middle):
            low = middle
        else:
            high = middle
    return low


def search(peers: Sequence[Peer], count: int, seconds: float, step: float, placement: Placement) -> list[Saturation]:
    """Find every peer's limit, `count` times in turn."""
    found: list[Saturation] = []
    for number in range(count):
        for peer in peers:
            before = [one.calls for one in found if one.peer == peer.name]
            found.append(_search(peer, number, before[-1] if before else FIRST_CALLS, seconds, step, placement))
            measure.say(f"saturation         round {number + 1} {peer.name:15} {found[-1].calls} calls")
    return found


def _search(peer: Peer, number: int, first: int, seconds: float, step: float, placement: Placement) -> Saturation:
    runs: dict[int, Run] = {}

    def good(calls: int) -> bool:
        run = _try(peer, calls, seconds, placement)
        measure.say(f"saturation         {peer.name:15} {calls} calls: {_words(run)}")
        if run is None or not run.ok or run.latency_ms.p99 > P99_MAX_MS:
            return False
        runs[calls] = run
        return True

    calls = climb(good, max(first, 2), step)
    half = _try(peer, calls // 2, seconds, placement) if calls > 1 else None
    return Saturation(peer.name, number, calls, runs.get(calls), half)


def _try(peer: Peer, calls: int, seconds: float, placement: Placement) -> Run | None:
    try:
        return measure.once(peer, Load(calls, seconds=seconds), placement)
    except (Unavailable, GeneratorError) as error:
        measure.say(f"{peer.name} with {calls} calls: {error}")
        return None


def _words(run: Run | None) -> str:
    if run is None:
        return "could not be loaded"
    return f"p99 {run.latency_ms.p99:.1f} ms, {'all right' if run.ok else f'{run.missing} missing'}"


def table(found: Sequence[Saturation]) -> Table:
    """A row for each peer."""
    result = Table(
        f"saturation: most calls (2 tracks x 2 listeners, one track each) with p99 <= {P99_MAX_MS:.0f} ms and nothing lost",
        ("server", "calls", "ratio to node-ws", "deliveries/s", "core %", "generator %", "p99 ms at half load"),
    )
    reference = _calls(found, NODE_WS.name)
    for name in dict.fromkeys(one.peer for one in found):
        ours = [one for one in found if one.peer == name]
        best = [one.best for one in ours if one.best]
        limited = any(one.generator_limited for one in ours)
        result.rows.append(
            (
                name,
                show(Spread.of(one.calls for one in ours), 0) + (" or more" if limited else ""),
                show(ratios(_calls(found, name), reference), 2),
                show(Spread.of(run.in_received / run.wall_s for run in best), 0),
                show(Spread.of(run.server_cpu_s / run.wall_s * 100 for run in best), 0),
                show(Spread.of(run.generator_busy * 100 for run in best), 0),
                show(Spread.of(one.half.latency_ms.p99 for one in ours if one.half), 2),
            )
        )
    result.notes = _verdict(found, reference)
    return result


def _verdict(found: Sequence[Saturation], reference: dict[int, float]) -> list[str]:
    reached = ratios(_calls(found, PATCHBAY.name), reference)
    half = Spread.of(one.half.latency_ms.p99 for one in found if one.peer == PATCHBAY.name and one.half)
    notes = []
    if reached is not None:
        state = "reached" if reached.median >= TARGET else "MISSED"
        notes.append(f"Target: at least {TARGET} x node-ws; {state} with {reached.text(2)}.")
    if half is not None:
        state = "reached" if half.median <= HALF_LOAD_P99_MS else "MISSED"
        notes.append(f"Target: p99 at half load at most {HALF_LOAD_P99_MS:.0f} ms; {state} with {half.text(2)} ms.")
    return notes


def _calls(found: Sequence[Saturation], peer: str) -> dict[int, float]:
    return {one.round: float(one.calls) for one in found if one.peer == peer}
