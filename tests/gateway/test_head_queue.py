"""Which connection goes when one too many waits, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.gateway.head_queue import HeadQueue
from tests.fakes.work import assert_linear

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = 10


class Scope:
    def __init__(self, name: int) -> None:
        self.name = name

    def cancel(self) -> None:
        """Somebody else's."""


def full(*hosts: str) -> HeadQueue[int]:
    queue = HeadQueue[int]()
    for number, host in enumerate(hosts):
        queue.add(number, host, Scope(number))
    return queue


def gone(queue: HeadQueue[int], host: str) -> int:
    scope = queue.pop_longest(host, ROOM)
    assert isinstance(scope, Scope)
    return scope.name


def test_a_host_that_has_its_share_makes_room_for_itself() -> None:
    """Nobody else waits less long for it."""
    queue = full("quiet", *["flood"] * 9)
    assert gone(queue, "flood") == 1
    queue.add(10, "flood", Scope(10))
    assert [gone(queue, "flood") for _ in range(3)] == [2, 3, 4]


def test_for_another_host_the_one_goes_that_has_waited_longest() -> None:
    """Whosever it is."""
    queue = full(*["flood"] * 10)
    assert gone(queue, "quiet") == 0
    queue.add(10, "quiet", Scope(10))
    assert [gone(queue, "third") for _ in range(2)] == [1, 2]


def test_those_that_have_gone_are_not_asked_to() -> None:
    """Nor do they count."""
    queue = full("a", "b", "c")
    queue.remove(0)
    queue.remove(0)
    assert len(queue) == 2
    assert gone(queue, "d") == 1
    assert gone(queue, "d") == 2
    assert len(queue) == 0


def test_many_that_come_and_go_take_work_by_their_number() -> None:
    """However many wait."""

    def work(count: int) -> Callable[[], object]:
        queue = full(*(str(number % 97) for number in range(count)))

        def run() -> None:
            for number in range(count, 2 * count):
                queue.pop_longest(str(number % 7), count)
                queue.add(number, str(number % 97), Scope(number))

        return run

    assert_linear(work, 1000)
