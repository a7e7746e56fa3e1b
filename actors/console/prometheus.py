"""Writes metrics in the text format that Prometheus reads (exposition format 0.0.4).

Pure. https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from patchbay.protocol.histogram import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_:]")


@dataclass
class Family:
    """Holds one metric with all its samples."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)

    def add(self, value: float, suffix: str = "", **labels: str) -> None:
        """Add a sample; no two of one family and suffix may have the same labels."""
        self.samples.append((suffix, labels, value))

    def add_histogram(self, histogram: Histogram, **labels: str) -> None:
        """Add all samples of a histogram. `_bucket` counts every value up to its bound."""
        sofar = 0
        for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
            sofar += count
            self.add(sofar, "_bucket", **labels, le=str(bound))
        self.add(histogram.total, "_sum", **labels)
        self.add(sofar, "_count", **labels)


def metric_name(*parts: str) -> str:
    """Join parts to a legal metric name."""
    name = _NOT_IN_NAME.sub("_", "_".join(parts))
    return f"_{name}" if name[:1].isdigit() else name


def render(families: list[Family]) -> bytes:
    """Write families as text; a family without samples is left out."""
    lines = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {_escape(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += [f"{family.name}{suffix}{_labels(labels)} {value}" for suffix, labels, value in family.samples]
    return "".join(f"{line}\n" for line in lines).encode()


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_quote(value)}"' for name, value in labels.items()) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', '\\"')
