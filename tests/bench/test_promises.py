"""What chaos calls a broken promise."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from bench.chaos import cli, plan
from bench.chaos.events import EventCounts
from bench.chaos.promises import SUPERVISOR, Fault, Tally, percentile
from bench.generator import Lag, Latency
from bench.windows import Window

NOTHING: dict[str, Any] = {
    "sent": 1000,
    "received": 1000,
    "lost": 0,
    "doubled": 0,
    "disordered": 0,
    "corrupt": 0,
    "wrong": 0,
    "closed_telnyx": 0,
    "closed_browsers": 0,
    "text": 0,
    "errors": 0,
    "latency_ms": Latency(1000, 1, 1, 1, 1, 1, 1),
    "lag_ms": Lag(0, 0, 0),
    "wall_s": 1,
    "processes": [],
    "server_cpu_s": 0,
    "generator_cpu_s": 0,
    "other_cpu_s": 0,
    "stolen_s": 0,
    "listeners": [(25.0, 5.0)] * 100,
}


def tally(fault: Fault, events: EventCounts | None = None, **noticed: Any) -> Tally:
    found = Tally(fault)
    found.add(Window(**{**NOTHING, **noticed}), events or EventCounts(10), 0.3)
    return found


KILL_INGEST = Fault("kill", ("ingest.0",))
KILL_FANOUT = Fault("kill", ("fanout.0",))
ROLL_FANOUT = Fault("roll", ("fanout.0",))
BOTH_HOLDERS = Fault("pair", ("gateway.0", "ingest.0"))
PORT = Fault("pair", ("gateway.0", SUPERVISOR))


@pytest.mark.parametrize(
    ("fault", "noticed", "broken"),
    [
        (KILL_INGEST, {}, []),
        (KILL_INGEST, {"lost": 1}, ["1 frames lost"]),
        (KILL_INGEST, {"closed_telnyx": 1}, ["1 calls disconnected"]),
        (KILL_INGEST, {"wrong": 2}, ["2 frames corrupt or for somebody else"]),
        (KILL_INGEST, {"listeners": [(25.0, 5.0)] * 90 + [(700.0, 5.0)] * 10}, ["gap p99 of 700 ms"]),
        (KILL_FANOUT, {"lost": 10, "listeners": [(200.0, 5.0)]}, []),
        (KILL_FANOUT, {"lost": 11, "listeners": [(200.0, 5.0)]}, ["1 frames lost beyond the gap"]),
        (KILL_FANOUT, {"disordered": 1}, ["1 frames out of order"]),
        (ROLL_FANOUT, {"lost": 1}, ["1 frames lost"]),
        (ROLL_FANOUT, {"doubled": 1}, ["1 frames doubled"]),
        (KILL_FANOUT, {"doubled": 1}, ["1 frames doubled"]),
        (ROLL_FANOUT, {"listeners": [(25.0, 101.0)]}, ["latency p99 of 101 ms"]),
        (BOTH_HOLDERS, {"closed_telnyx": 100, "lost": 50}, []),
        (BOTH_HOLDERS, {"disordered": 1}, ["1 frames out of order"]),
    ],
)
def test_promises(fault: Fault, noticed: dict[str, Any], broken: list[str]) -> None:
    assert tally(fault, **noticed).broken() == broken


def test_promises_of_events() -> None:
    events = EventCounts(10, lost=1, twice=2, refused=3, closed=4)
    assert tally(KILL_INGEST, events).broken() == [
        "1 events lost",
        "2 events twice",
        "4 event clients disconnected",
        "3 connects refused",
    ]
    assert tally(PORT, EventCounts(10, refused=3)).broken() == []


def test_what_was_never_done_keeps_its_promises_but_for_failures() -> None:
    assert Tally(KILL_INGEST, failures=["not ready"]).broken() == ["not ready"]


def test_percentiles() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2
    assert percentile([3.0, 1.0, 2.0], 1.0) == 3


def test_every_fault_in_turn() -> None:
    names = ("gateway.0", "ingest.0", SUPERVISOR)
    assert plan.faults("calm", names) == [Fault("calm", ())]
    order = list(plan.order({"kill": 3, "roll": 3, "hang": 1, "pair": 2}, names, Random(1)))
    assert order == list(plan.order({"kill": 3, "roll": 3, "hang": 1, "pair": 2}, names, Random(1)))
    assert {fault: order.count(fault) for fault in order if fault.kind == "kill"} == {
        Fault("kill", (name,)): 3 for name in names
    }
    assert [fault.names for fault in order if fault.kind == "hang"].count((SUPERVISOR,)) == 0
    assert len([fault for fault in order if fault.kind == "pair"]) == 2 * 3
    assert {fault.kind for fault in order[:11]} == {"kill", "roll", "hang", "pair"}


def test_a_table_of_faults() -> None:
    table = cli.table([tally(KILL_INGEST, lost=1), tally(BOTH_HOLDERS, closed_telnyx=9), tally(KILL_FANOUT)])
    assert [(row[0], row[-1]) for row in table.rows] == [
        ("kill ingest", "BROKEN"),
        ("pair gateway + ingest", "gone, as said"),
        ("kill fanout", "kept"),
    ]
    assert table.notes == ["kill ingest: 1 frames lost"]
