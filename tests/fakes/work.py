"""Counts what Python does, so that a test can say how work grows without looking at a clock."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python this runs, all that it calls included."""
    count = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        del frame, arg
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(work: Callable[[int], Callable[[], object]], size: int) -> float:
    """How many times the work grows where its input is doubled: 2 for what is linear. `work` prepares what is run."""
    once, twice = (lines_run(work(count)) for count in (size, 2 * size))
    return twice / once
