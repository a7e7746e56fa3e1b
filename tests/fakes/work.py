"""Counts what a function does, so that a test can tell linear work from quadratic without a clock."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def steps(function: Callable[[], object]) -> int:
    """Return how many operations of the interpreter a call takes. What C does within one of them is not seen."""
    count = 0

    def count_one(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return count_one

    before = sys.gettrace()
    gc.disable()  # finalizers of earlier tests' objects are work, too
    sys.settrace(count_one)
    try:
        function()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def assert_linear(work: Callable[[int], Callable[[], object]], size: int) -> None:
    """Twice the input takes at most twice the steps, and a little."""
    once, twice = steps(work(size)), steps(work(2 * size))
    assert twice <= 2.2 * once + 200, (once, twice)
