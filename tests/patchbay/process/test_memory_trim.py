"""What connections leave behind is tidied up once there is much of it."""

from __future__ import annotations

import gc
import weakref

from patchbay.process.memory_trim import CLOSED_MIN, ENDED_MIN, TrimPolicy, release_memory


def test_a_crowd_that_has_gone_is_seen_once() -> None:
    """Coming and going in small numbers is none."""
    leavings = TrimPolicy()
    counts = (20, 20 + CLOSED_MIN, 1000, 600, 400, 30, 25, 20, 20 + CLOSED_MIN // 2, 20)
    seen = [leavings.is_due(count, 0) for count in counts]
    assert seen == [False, False, False, False, True, True, False, False, False, False]


def test_many_that_came_and_went_one_after_the_other_are_seen() -> None:
    """However few there were at any time."""
    leavings = TrimPolicy()
    seen = [
        leavings.is_due(20, ended)
        for ended in (0, ENDED_MIN - 1, ENDED_MIN, ENDED_MIN + 1, 2 * ENDED_MIN - 1, 2 * ENDED_MIN)
    ]
    assert seen == [False, False, True, False, False, True]


def test_what_only_a_cycle_holds_is_given_back() -> None:
    """Whatever the collector's thresholds are."""

    class Node:
        itself: object

    gc.disable()
    try:
        node = Node()
        node.itself = node
        gone = weakref.ref(node)
        del node
        release_memory()
        assert gone() is None
    finally:
        gc.enable()
