"""Results as tables: for a terminal, as Markdown, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.servers import NODE_WS, PATCHBAY
from bench.spread import Spread, ratios

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.generator import Run
    from bench.measure import Sample
    from bench.scenarios import Scenario

NONE = "-"


@dataclass
class Table:
    """Rows of text under headings."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Aligned, for a terminal."""
        widths = [max(len(row[i]) for row in [self.columns, *self.rows]) for i in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [self.columns, *self.rows]
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([self.title, rule, lines[0], rule, *lines[1:], rule, *self.notes])

    def markdown(self) -> str:
        """A section with a table."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        notes = "".join(f"\n\n{note}" for note in self.notes)
        return f"### {self.title}\n\n{body}{notes}"

    def json(self) -> dict[str, Any]:
        """Rows as objects."""
        return {
            "title": self.title,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "notes": self.notes,
        }


def scenario_table(scenario: Scenario, samples: Sequence[Sample]) -> Table:
    """One scenario: a row for each peer, prices as ratios to Node `ws` of the same round."""
    table = Table(
        f"{scenario.name}: {scenario.about}",
        (
            "server",
            "all right",
            f"CPU us/{scenario.per}",
            "ratio to node-ws",
            "core %",
            "p50 ms",
            "p99 ms",
            "memory MiB",
        ),
    )
    ours = [sample for sample in samples if sample.scenario == scenario.name]
    reference = _prices(scenario, ours, NODE_WS.name)
    for name in dict.fromkeys(sample.peer for sample in ours):
        runs = [sample.run for sample in ours if sample.peer == name and sample.run is not None]
        tried = sum(sample.peer == name for sample in ours)
        table.rows.append(_row(name, runs, tried, _prices(scenario, ours, name), reference))
    table.notes = _verdict(scenario, ours, reference)
    return table


def growth_table(scenarios: Sequence[Scenario], samples: Sequence[Sample]) -> Table:
    """What a delivered frame costs with more and more calls: a row for each peer, a column for each number."""
    counts = tuple(f"{scenario.load.calls} calls" for scenario in scenarios)
    table = Table("growth: CPU us/delivered (2 tracks x 2 listeners, one track each)", ("server", *counts))
    for name in dict.fromkeys(sample.peer for sample in samples):
        prices = [
            _prices(scenario, [sample for sample in samples if sample.scenario == scenario.name], name)
            for scenario in scenarios
        ]
        table.rows.append((name, *(show(Spread.of(by_round.values()), 1) for by_round in prices)))
    table.notes.append("- where not every frame came, once and in order.")
    return table


def _row(
    name: str, runs: list[Run], tried: int, prices: dict[int, float], reference: dict[int, float]
) -> tuple[str, ...]:
    return (
        name,
        f"{sum(run.ok for run in runs)}/{tried}",
        show(Spread.of(prices.values()), 1),
        show(ratios(prices, reference), 2),
        show(Spread.of(run.server_cpu_s / run.wall_s * 100 for run in runs), 0),
        show(Spread.of(run.latency_ms.p50 for run in runs if run.latency_ms.n), 2),
        show(Spread.of(run.latency_ms.p99 for run in runs if run.latency_ms.n), 2),
        show(Spread.of(run.pss_mib for run in runs), 0),
    )


def _verdict(scenario: Scenario, samples: list[Sample], reference: dict[int, float]) -> list[str]:
    reached = ratios(_prices(scenario, samples, PATCHBAY.name), reference)
    if scenario.target is None or reached is None:
        return []
    state = "reached" if reached.median <= scenario.target else "MISSED"
    return [f"Target: at most {scenario.target} x node-ws; {state} with {reached.text(2)}."]


def _prices(scenario: Scenario, samples: list[Sample], peer: str) -> dict[int, float]:
    """By round, of the runs in which everything came: whoever drops frames is cheap."""
    return {
        sample.round: sample.run.us_per_ingested if scenario.per == "ingested" else sample.run.us_per_delivered
        for sample in samples
        if sample.peer == peer and sample.run is not None and sample.run.ok
    }


def show(spread: Spread | None, digits: int) -> str:
    """A cell."""
    return NONE if spread is None else spread.text(digits)
