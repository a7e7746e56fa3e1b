"""A crowd is tidied up after once it has gone, once."""

from __future__ import annotations

import gc
import weakref

from actors.runtime.tidy import CROWD, Crowd, give_back


def test_a_crowd_that_has_gone_is_seen_once() -> None:
    """Coming and going in small numbers is none."""
    crowd = Crowd()
    seen = [crowd.has_gone(count) for count in (20, 20 + CROWD, 1000, 600, 400, 30, 25, 20, 20 + CROWD // 2, 20)]
    assert seen == [False, False, False, False, True, True, False, False, False, False]


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
