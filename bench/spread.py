"""Median and spread of the rounds, and ratios round by round. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None of no values."""
        known = sorted(values)
        return cls(statistics.median(known), known[0], known[-1]) if known else None

    def text(self, digits: int) -> str:
        """As it stands in a table."""
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}-{self.high:.{digits}f}]"


def ratios(ours: Mapping[int, float], reference: Mapping[int, float]) -> Spread | None:
    """Of the rounds that both have: machines get faster and slower, but both at the same time."""
    return Spread.of(value / reference[key] for key, value in ours.items() if reference.get(key))
