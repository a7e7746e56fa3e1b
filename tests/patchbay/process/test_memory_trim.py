"""What connections leave behind is tidied up once there is much of it."""

from __future__ import annotations

import gc
import weakref

from patchbay.process.memory_trim import CROWD, MANY, EndedConnections, give_back


def test_a_crowd_that_has_gone_is_seen_once() -> None:
    """Coming and going in small numbers is none."""
    leavings = EndedConnections()
    counts = (20, 20 + CROWD, 1000, 600, 400, 30, 25, 20, 20 + CROWD // 2, 20)
    seen = [leavings.are_many(count, 0) for count in counts]
    assert seen == [False, False, False, False, True, True, False, False, False, False]


def test_many_that_came_and_went_one_after_the_other_are_seen() -> None:
    """However few there were at any time."""
    leavings = EndedConnections()
    seen = [leavings.are_many(20, ended) for ended in (0, MANY - 1, MANY, MANY + 1, 2 * MANY - 1, 2 * MANY)]
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
        give_back()
        assert gone() is None
    finally:
        gc.enable()
