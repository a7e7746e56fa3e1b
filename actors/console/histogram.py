"""How often what was at most so much, as an actor says it on the bus and Prometheus reads it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

BUCKETS_MAX = 50


@dataclass(frozen=True)
class Histogram:
    """`counts` is of each bucket for itself; the last one, beyond the bounds, is one more than there are bounds."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    def __add__(self, other: Histogram | None) -> Histogram:
        """Of both; one of other bounds, a process of another version, is left out."""
        if other is None or other.bounds != self.bounds:
            return self
        counts = tuple(mine + its for mine, its in zip(self.counts, other.counts, strict=True))
        return Histogram(self.bounds, counts, self.total + other.total)


def read_histogram(said: object) -> Histogram | None:
    """`{"buckets", "counts", "sum"}`; None for what has not that form."""
    if not isinstance(said, dict):
        return None
    bounds, counts, total = said.get("buckets"), said.get("counts"), said.get("sum")
    if not isinstance(bounds, list) or not isinstance(counts, list) or not isinstance(total, int | float):
        return None
    if not 0 < len(bounds) <= BUCKETS_MAX or len(counts) != len(bounds) + 1:
        return None
    if not all(isinstance(bound, int | float) for bound in bounds) or not all(isinstance(n, int) for n in counts):
        return None
    return Histogram(tuple(bounds), tuple(counts), float(total))
