"""Counts values in a histogram, and converts it for the bus. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BUCKETS_MAX = 50


@dataclass
class Histogram:
    """Counts values by size.

    Attributes:
        bounds: the upper bound of each bucket, ascending.
        counts: the number of values in each bucket alone; the last bucket has no upper bound.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> Histogram:
        """Return a histogram without values."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[sum(bound < value for bound in self.bounds)] += 1
        self.total += value

    def report(self) -> dict[str, Any]:
        """Return the histogram as `read_histogram` reads it, without rounding noise in the sum."""
        return {"buckets": list(self.bounds), "counts": list(self.counts), "sum": round(self.total, 6)}

    def __add__(self, other: Histogram | None) -> Histogram:
        """Return the sum of two histograms. One with other bounds, of a process of another version, is left out."""
        if other is None or other.bounds != self.bounds:
            return self
        counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        return Histogram(self.bounds, counts, self.total + other.total)


def read_histogram(report: object) -> Histogram | None:
    """Read a report, `{"buckets", "counts", "sum"}`; None for anything of another form."""
    if not isinstance(report, dict):
        return None
    bounds, counts, total = report.get("buckets"), report.get("counts"), report.get("sum")
    if not isinstance(bounds, list) or not isinstance(counts, list) or not isinstance(total, int | float):
        return None
    if not 0 < len(bounds) <= BUCKETS_MAX or len(counts) != len(bounds) + 1:
        return None
    if not all(isinstance(bound, int | float) for bound in bounds) or not all(isinstance(n, int) for n in counts):
        return None
    return Histogram(tuple(bounds), counts, float(total))
