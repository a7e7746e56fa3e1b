"""Histograms: counted, sent, read, added."""

from __future__ import annotations

import json

import pytest

from patchbay.protocol.histogram import Histogram, read_histogram

REPORT = {"buckets": [0.1, 0.2], "counts": [3, 2, 1], "sum": 0.9}


def test_what_is_reported_is_read() -> None:
    """A value on a bound is in the bucket below; one beyond all bounds is in the last."""
    histogram = Histogram.empty((0.1, 0.2))
    for value in (0.05, 0.1, 0.15, 0.2, 0.3):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert read_histogram(json.loads(json.dumps(histogram.report()))) == Histogram((0.1, 0.2), [2, 2, 1], 0.8)


@pytest.mark.parametrize(
    "report",
    [
        None,
        [],
        {},
        {**REPORT, "counts": [1]},
        {**REPORT, "sum": "x"},
        {**REPORT, "counts": [1, 2, "3"]},
        {**REPORT, "buckets": []},
    ],
)
def test_another_form_is_none(report: object) -> None:
    assert read_histogram(report) is None


def test_added() -> None:
    """Of other bounds: the first counts, the newer process's."""
    mine, other = read_histogram(REPORT), read_histogram({"buckets": [1], "counts": [1, 1], "sum": 1})
    assert mine is not None
    assert mine + mine == Histogram((0.1, 0.2), [6, 4, 2], 1.8)
    assert mine + other == mine
    assert mine + None == mine
