"""What is promised for each fault (docs/continuity.md), and what a row of counts says of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.chaos.events import EventCounts
    from bench.windows import Window

Kind = Literal["calm", "kill", "roll", "hang", "pair"]
GAP_P99_MAX_MS = 600.0
ROLL_LATENCY_P99_MAX_MS = 100.0
FRAME_MS = 20.0
SUPERVISOR = "supervisor"
HOLDERS = ("ingest", "fanout", "call_events")  # of connections; the gateway is the other holder


@dataclass(frozen=True)
class Fault:
    """Something done to one or two processes (`ingest.0`, `supervisor`).

    `calm` is nothing done at all: it shows what the machine alone does to the figures.
    """

    kind: Kind
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        """As it stands in a table."""
        return f"{self.kind} {' + '.join(name.removesuffix('.0') for name in self.names)}".strip()

    def hits(self, name: str) -> bool:
        """Whether it is done to one of an actor's processes."""
        return any(one.partition(".")[0] == name for one in self.names)

    @property
    def takes_both_holders(self) -> bool:
        """Whether nobody is left who has the connections: then they are gone, and that is said openly."""
        return self.kind == "pair" and self.hits("gateway") and any(self.hits(name) for name in HOLDERS)

    @property
    def takes_the_port(self) -> bool:
        """Whether nobody is left who has the listening socket."""
        return self.kind == "pair" and self.hits("gateway") and self.hits("supervisor")


@dataclass
class Tally:
    """All the times that one fault was done."""

    fault: Fault
    times: int = 0
    closed_telnyx: int = 0
    closed_listeners: int = 0
    closed_clients: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    spoilt: int = 0  # corrupt, or for somebody else
    events: int = 0
    events_lost: int = 0
    events_twice: int = 0
    refused: int = 0
    gaps_ms: list[float] = field(default_factory=list)
    worst_ms: list[float] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, window: Window, events: EventCounts, ready_s: float) -> None:
        """Count one more time."""
        self.times += 1
        self.closed_telnyx += window.closed_telnyx
        self.closed_listeners += window.closed_browsers
        self.closed_clients += events.closed
        self.lost += window.lost
        self.doubled += window.doubled
        self.disordered += window.disordered
        self.spoilt += window.corrupt + window.wrong
        self.events += events.acknowledged
        self.events_lost += events.lost
        self.events_twice += events.twice
        self.refused += events.refused
        self.gaps_ms += window.gaps_ms
        self.worst_ms += window.worst_ms
        self.ready_s.append(ready_s)

    def broken(self) -> list[str]:
        """The promises that were broken, in words."""
        found = list(self.failures)
        if not self.times:
            return found
        found += [f"{count} {what}" for count, what in self._never() if count]
        if not self.fault.takes_both_holders:
            found += [f"{count} {what}" for count, what in self._not_while_held() if count]
            found += self._too_slow()
        if self.refused and not self.fault.takes_the_port:
            found.append(f"{self.refused} connects refused")
        return found

    def _never(self) -> list[tuple[int, str]]:
        return [
            (self.disordered, "frames out of order"),
            (self.spoilt, "frames corrupt or for somebody else"),
            (self.events_lost, "events lost"),
            (self.events_twice, "events twice"),
        ]

    def _not_while_held(self) -> list[tuple[int, str]]:
        closed = [
            (self.closed_telnyx, "calls disconnected"),
            (self.closed_listeners, "listeners disconnected"),
            (self.closed_clients, "event clients disconnected"),
            (self.doubled, "frames doubled"),
        ]
        if self.fault.kind != "roll" and self.fault.hits("fanout"):
            allowed = round(sum(gap / FRAME_MS for gap in self.gaps_ms))
            return [*closed, (max(self.lost - allowed, 0), "frames lost beyond the gap")]
        return [*closed, (self.lost, "frames lost")]

    def _too_slow(self) -> list[str]:
        gap, worst = percentile(self.gaps_ms, 0.99), percentile(self.worst_ms, 0.99)
        if self.fault.kind == "kill" and gap > GAP_P99_MAX_MS:
            return [f"gap p99 of {gap:.0f} ms"]
        if self.fault.kind == "roll" and worst > ROLL_LATENCY_P99_MAX_MS:
            return [f"latency p99 of {worst:.0f} ms"]
        return []


def percentile(values: list[float], part: float) -> float:
    """The value that `part` of all are not above; 0 of none."""
    known = sorted(values)
    return known[min(int(part * len(known)), len(known) - 1)] if known else 0.0
