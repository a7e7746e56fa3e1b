"""Bytes in flight: who takes long goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchbay.http.in_flight import InFlight
from tests.fakes.work import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_one_that_takes_longest_goes() -> None:
    """Until there is room; never one that has done its part."""
    bodies, gone = InFlight(100), list[str]()
    first, second, third = (bodies.begin(lambda name=name: gone.append(name)) for name in ("1", "2", "3"))  # type: ignore[misc]
    assert bodies.grow(first, 40)
    assert bodies.grow(second, 40)
    bodies.settle(first)
    assert bodies.grow(third, 40)
    assert gone == ["2"]
    assert second.was_ended
    assert not bodies.grow(second, 1)
    assert bodies.held_bytes == 80
    bodies.settle(third)
    fourth = bodies.begin(lambda: gone.append("4"))
    assert not bodies.grow(fourth, 40)  # nobody but itself can go
    for item in (first, second, third, fourth):
        bodies.finish(item)
    assert (bodies.held_bytes, gone) == (0, ["2", "4"])


def test_one_that_is_alone_may_be_as_large_as_it_is() -> None:
    """It is there already."""
    answers = InFlight(10)
    item = answers.begin(lambda: None)
    assert answers.grow(item, 1000)
    answers.finish(item)
    assert answers.held_bytes == 0


def test_ending_many_takes_work_by_their_number() -> None:
    """Not by its square."""

    def prepared(count: int) -> Callable[[], object]:
        bodies = InFlight(1)
        return lambda: [bodies.grow(bodies.begin(lambda: None), 1) for _ in range(count)]

    assert_linear(prepared, 1000)
