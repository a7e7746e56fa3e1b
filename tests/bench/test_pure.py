"""Medians, ratios, searches and tables: what turns runs into a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import saturation, soak
from bench.generator import Lag, Latency, Load, Run
from bench.measure import Sample
from bench.peers.relay import Relay, is_telnyx
from bench.scenarios import Scenario
from bench.spread import Spread, ratios
from bench.tables import Table, growth_table, scenario_table

SCENARIO = Scenario("some", "some load", Load(10, 2), target=0.6)


def run(*, cpu_s: float, ok: bool = True, frames: int = 1_000_000) -> Run:
    return Run(
        ok=ok,
        in_sent=frames,
        in_received=frames,
        missing=0,
        unsent_bytes=0,
        opening_s=0.1,
        sent=frames,
        received=frames,
        lost=0,
        doubled=0,
        disordered=0,
        corrupt=0,
        wrong=0,
        closed_telnyx=0,
        closed_browsers=0,
        text=0,
        errors=0,
        latency_ms=Latency(frames, 1, 1, 2, 3, 4, 5),
        lag_ms=Lag(0, 0, 0),
        wall_s=10,
        processes=[],
        server_cpu_s=cpu_s,
        generator_cpu_s=1,
        other_cpu_s=0,
        stolen_s=0,
    )


def test_the_spread_of_rounds() -> None:
    assert Spread.of([]) is None
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread(2.0, 1.0, 3.0).text(1) == "2.0 [1.0-3.0]"


def test_ratios_are_of_the_same_round() -> None:
    assert ratios({0: 1.0, 1: 6.0, 2: 9.0}, {0: 2.0, 1: 3.0, 3: 1.0}) == Spread(1.25, 0.5, 2.0)
    assert ratios({0: 1.0}, {0: 0.0}) is None


@given(st.integers(1, 2500), st.integers(2, 3000), st.floats(1.01, 1.5))
def test_a_search_ends_at_the_limit(limit: int, first: int, step: float) -> None:
    tried: list[int] = []

    def good(calls: int) -> bool:
        tried.append(calls)
        return calls <= limit

    found = saturation.climb(good, first, step)
    assert found <= limit < max(found * step, found + 1) + 1
    assert len(tried) < 60


def test_one_bad_run_is_no_failure() -> None:
    seen: set[int] = set()

    def good(calls: int) -> bool:
        first_time = calls not in seen
        seen.add(calls)
        return calls <= 100 and not first_time

    assert 94 <= saturation.climb(good, 60, 1.06) <= 100


def test_nothing_at_all_is_carried() -> None:
    assert saturation.climb(lambda _: False, 60, 1.06) == 0


def test_a_scenario_s_table() -> None:
    samples = [
        Sample("some", "patchbay", 0, run(cpu_s=1.0)),
        Sample("some", "node-ws", 0, run(cpu_s=2.0)),
        Sample("some", "patchbay", 1, run(cpu_s=1.5)),
        Sample("some", "node-ws", 1, run(cpu_s=2.0)),
        Sample("some", "picows", 0, run(cpu_s=0.1, ok=False)),
        Sample("some", "picows", 1, None, "does not start"),
    ]
    table = scenario_table(SCENARIO, samples)
    assert [row[:4] for row in table.rows] == [
        ("patchbay", "2/2", "1.2 [1.0-1.5]", "0.62 [0.50-0.75]"),
        ("node-ws", "2/2", "2.0 [2.0-2.0]", "1.00 [1.00-1.00]"),
        ("picows", "0/2", "-", "-"),
    ]
    assert table.notes == ["Target: at most 0.6 x node-ws; MISSED with 0.62 [0.50-0.75]."]


def test_a_growth_table_leaves_out_who_lost_frames() -> None:
    samples = [Sample("some", "patchbay", 0, run(cpu_s=1.0)), Sample("some", "node-ws", 0, run(cpu_s=9.0, ok=False))]
    assert growth_table([SCENARIO], samples).rows == [("patchbay", "1.0 [1.0-1.0]"), ("node-ws", "-")]


def test_a_table_in_every_form() -> None:
    table = Table("title", ("a", "b"), [("1", "22")], ["a note"])
    assert table.markdown() == "### title\n\n| a | b |\n| --- | --- |\n| 1 | 22 |\n\na note"
    assert table.json() == {"title": "title", "rows": [{"a": "1", "b": "22"}], "notes": ["a note"]}
    assert "1  22" in table.text()


def test_growth_is_seen_past_the_beginning() -> None:
    assert soak.growth([50, 90, 100, 100, 100, 100, 100, 100]) == 0
    assert soak.growth([50, 90, 100, 100, 120, 130, 140, 150]) == pytest.approx(0.45)
    assert soak.growth([100.0]) == 0


def test_the_relay_of_the_python_peers() -> None:
    relay: Relay[str] = Relay()
    assert relay.from_telnyx("T", "", '{"event":"start","start":{"call_control_id":"c"}}') == "c"
    media = '{"event":"media","media":{"track":"outbound","payload":"AQI="}}'
    assert relay.from_telnyx("T", "c", media) == ("c", "outbound", b"\1\2")
    assert relay.join("L", "/audio-stream?call_control_id=c&track=both") == "c"
    assert set(relay.listeners) == {("c", "inbound"), ("c", "outbound")}
    relay.leave("L", "/audio-stream?call_control_id=c&track=both")
    assert not any(relay.listeners.values())
    talk = '{"event":"media","media":{"payload":"AAAAAAAAAAAAAAAAAQI="}}'
    assert relay.from_browser("c", talk) == ("T", '{"event":"media","media":{"payload":"AQI="}}')
    assert relay.from_browser("unknown", talk) is None
    assert is_telnyx("Telnyx-Media/1.0")
