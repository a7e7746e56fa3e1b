"""The text form of metrics, and which there are."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from actors.console import metrics, statuses
from actors.console.prometheus import Family, metric_name, render
from actors.console.stats import StatsBook

# The format's own grammar, as in https://prometheus.io/docs/instrumenting/exposition_formats/
SAMPLE = re.compile(
    r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(,[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*")*\})? -?\d+(\.\d+)?$'
)


def test_the_format() -> None:
    family = Family("calls", "gauge", "Calls,\nlive \\ now.")
    family.add(2)
    family.add(0.5, process='a"b\\c\nd', index="0")
    assert render([family, Family("empty", "counter", "Nothing.")]).decode() == (
        "# HELP calls Calls,\\nlive \\\\ now.\n"
        "# TYPE calls gauge\n"
        "calls 2\n"
        'calls{process="a\\"b\\\\c\\nd",index="0"} 0.5\n'
    )


@given(st.lists(st.text(), min_size=1), st.text(), st.integers())
def test_whatever_a_name_or_label_holds_the_line_is_well_formed(parts: list[str], label: str, value: int) -> None:
    family = Family(metric_name("patchbay", *parts), "counter", label)
    family.add(value, process=label)
    *comments, sample = render([family]).decode().removesuffix("\n").split("\n")
    assert len(comments) == 2
    assert SAMPLE.match(sample)


def test_all_metrics_come_out_with_no_sample_twice() -> None:
    book = StatsBook()
    for epoch in (1, 2):
        call = {"call_control_id": "v3:a", "stream_id": "s"}
        counted = {"counters": {"frames_in": 3, "frames-in": 1}, "gauges": {"g": 2}}
        book.receive({"from": "ingest.0", "epoch": epoch, "calls": [call], **counted}, 0)
    book.receive({"from": "fanout.0", "epoch": 1, "listeners": {"v3:a": 2}, "unbound_listeners": 1, "counters": {}}, 0)
    status = {
        "supervisor": {"pid": 1},
        "actors": [
            {"name": "ingest", "index": 0, "state": "READY", "generation": 2, "restarts": 1},
            {"name": "ingest", "index": 0, "state": "DRAINING", "generation": 1, "restarts": 0},
            {"name": "fanout", "index": 0, "state": "BACKOFF", "generation": 1, "restarts": None},
        ],
    }
    text = render(metrics.families(book, status, Counter(requests=4), 0)).decode()
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples))
    for line in (
        "patchbay_calls 1",
        "patchbay_listeners 2",
        "patchbay_unbound_listeners 1",
        "patchbay_supervisor_up 1",
        'patchbay_actor_ready{process="ingest.0"} 1',
        'patchbay_actor_ready{process="fanout.0"} 0',
        'patchbay_actor_restarts_total{process="ingest.0"} 1',
        'patchbay_ingest_frames_in_total{process="ingest.0"} 8',
        'patchbay_console_requests_total{process="console.0"} 4',
        "# TYPE patchbay_ingest_frames_in_total counter",
        "# TYPE patchbay_ingest_g gauge",
        'patchbay_ingest_g{process="ingest.0"} 4',
    ):
        assert f"{line}\n" in text


def test_without_a_supervisor_there_are_metrics_all_the_same() -> None:
    text = render(metrics.families(StatsBook(), None, Counter(), 0)).decode()
    assert "patchbay_supervisor_up 0\n" in text
    assert "patchbay_calls 0\n" in text


def test_what_is_not_ready_is_named() -> None:
    def actor(name: str, state: str, index: int = 0) -> dict[str, object]:
        return {"name": name, "index": index, "state": state}

    assert statuses.not_ready(None) == ["supervisor"]
    assert statuses.not_ready({"actors": []}) == ["supervisor"]
    assert statuses.not_ready({"actors": [actor("gateway", "READY"), actor("console", "READY")]}) == []
    ups = [actor("ingest", "READY"), actor("ingest", "BACKOFF", 1), actor("gateway", "STARTING")]
    assert statuses.not_ready({"actors": ups}) == ["gateway", "ingest.1"]
    rolling = [actor("fanout", "DRAINING"), actor("fanout", "READY")]
    assert statuses.not_ready({"actors": rolling}) == []
