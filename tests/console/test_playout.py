"""How listeners hear calls: from the bus to Prometheus, and to the list of calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

from actors.console import metrics, prometheus
from actors.console.stats import StatsBook

SAID = {"buckets": [0.1, 0.2], "counts": [3, 2, 1], "sum": 0.9}


def book_of(*said: dict[str, Any]) -> StatsBook:
    book = StatsBook()
    for each in said:
        book.receive(each, 0)
    return book


def test_as_prometheus_reads_it() -> None:
    """Each bucket holds those below it too; two processes of one name, in a roll, are one."""
    book = book_of(
        {"from": "fanout.0", "epoch": 1, "histograms": {"ear_delay_seconds": SAID}},
        {"from": "fanout.0", "epoch": 2, "histograms": {"ear_delay_seconds": SAID}},
        {"from": "fanout.1", "epoch": 1, "histograms": {"ear_delay_seconds": SAID, "bad": {"buckets": 3}}},
    )
    text = prometheus.render(metrics.families(book, None, Counter(), 0)).decode()
    name = "patchbay_fanout_ear_delay_seconds"
    assert f"# TYPE {name} histogram" in text
    for line in (
        f'{name}_bucket{{process="fanout.0",le="0.1"}} 6',
        f'{name}_bucket{{process="fanout.0",le="0.2"}} 10',
        f'{name}_bucket{{process="fanout.0",le="+Inf"}} 12',
        f'{name}_sum{{process="fanout.0"}} 1.8',
        f'{name}_count{{process="fanout.1"}} 6',
    ):
        assert line in text.splitlines()
    assert "bad" not in text


def test_how_a_call_is_heard() -> None:
    """All reports of all processes, with their call."""
    book = book_of(
        {"from": "ingest.0", "epoch": 1, "calls": [{"call_control_id": "a"}, {"call_control_id": "b"}]},
        {"from": "fanout.0", "epoch": 1, "playout": {"a": [{"ear_ms": 90}], "gone": [{}]}},
        {"from": "fanout.1", "epoch": 1, "playout": {"a": [{"ear_ms": 95}, 7]}},
        {"from": "fanout.2", "epoch": 1, "playout": ["rubbish"]},
    )
    first, second = book.calls(0)
    assert first["playout"] == [{"ear_ms": 90}, {"ear_ms": 95}]
    assert second["playout"] == []
