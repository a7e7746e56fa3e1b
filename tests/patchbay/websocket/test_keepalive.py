"""A peer that is silent is asked; one that does not answer is ended; one whose time is over is told so."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from patchbay.protocol.errors import CLOSE_EXPIRED, CLOSE_LIFETIME, CLOSE_POLICY
from patchbay.websocket.frames import PING
from patchbay.websocket.keepalive import keep_alive
from tests.fakes.listening import FakeBrowser

if TYPE_CHECKING:
    from collections.abc import Collection

    from trio.testing import MockClock

    from patchbay.websocket.connection import WebSocketConnection


class Quiet(FakeBrowser):
    """A peer that answers pings, or not."""

    def __init__(self, number: int, *, answers: bool = False, claims: dict[str, Any] | None = None) -> None:
        super().__init__(number)
        self.last_heard = self.opened_at = trio.current_time()
        self.handed.claims = claims
        self.answers = answers
        self.ended = 0
        self.closed_with: list[int] = []
        self.send_queue.write_control = self._asked  # type: ignore[method-assign]
        self.pings = 0
        self.is_within_message = self.is_within_frame = False
        self.message_since = trio.current_time()

    def _asked(self, frame: bytes) -> bool:
        assert frame == PING
        self.pings += 1
        if self.answers:
            self.last_heard = trio.current_time()
        return True

    def end_of_input(self) -> None:
        self.ended += 1

    async def close(self, code: int, reason: str) -> None:
        self.closed_with.append(code)


async def watch(peers: Collection[Quiet], seconds: float, **options: Any) -> None:
    with trio.move_on_after(seconds):
        await keep_alive(cast("Collection[WebSocketConnection]", peers), interval_s=20, timeout_s=10, **options)


async def test_one_that_answers_stays(autojump_clock: MockClock) -> None:
    """It is asked once in an interval."""
    peer = Quiet(1, answers=True)
    await watch([peer], 100)
    assert 3 <= peer.pings <= 5
    assert peer.ended == 0


async def test_one_that_does_not_is_ended(autojump_clock: MockClock) -> None:
    """Not before its time; it is asked once."""
    peer = Quiet(1)
    await watch([peer], 29)
    assert (peer.pings, peer.ended) == (1, 0)
    peer = Quiet(2)
    await watch([peer], 33)
    assert (peer.pings, peer.ended > 0) == (1, True)


async def test_whoever_comes_later_is_looked_after(autojump_clock: MockClock) -> None:
    """The collection is looked at anew each time."""
    peers: dict[Quiet, None] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, peers, 100)
        await trio.sleep(5)
        late = Quiet(1)
        peers[late] = None
        await trio.sleep(40)
        assert late.ended
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("claims", "lifetime_s", "code"),
    [({"exp": 1050}, 1000, CLOSE_EXPIRED), (None, 50, CLOSE_LIFETIME), ({"exp": 5000}, 1000, None), (None, 1000, None)],
)
async def test_one_whose_time_is_over_is_closed_once(
    claims: dict[str, Any] | None, lifetime_s: float, code: int | None, autojump_clock: MockClock
) -> None:
    """With a word, by the token or by its age."""
    peer = Quiet(1, answers=True, claims=claims)
    began = trio.current_time()
    await watch([peer], 90, lifetime_s=lifetime_s, wall=lambda: 1000 + trio.current_time() - began)
    assert peer.closed_with == ([] if code is None else [code])


@pytest.mark.parametrize(("within", "closed"), [(True, [CLOSE_POLICY]), (False, [])])
async def test_a_message_has_to_be_whole_in_time(within: bool, closed: list[int], autojump_clock: MockClock) -> None:
    """Whatever else is heard meanwhile; and it is told so, once."""
    peer = Quiet(1, answers=True)
    peer.is_within_message = within
    counters = Counter[str]()
    await watch([peer], 29, message_timeout_s=30)
    assert peer.closed_with == []
    await watch([peer], 40, message_timeout_s=30, counters=counters)
    assert peer.closed_with == closed
    assert counters["closed_unfinished"] == len(closed)


@pytest.mark.parametrize(("within", "ended"), [(True, True), (False, False)])
async def test_half_a_frame_is_waited_for_as_long_as_a_message(
    within: bool, ended: bool, autojump_clock: MockClock
) -> None:
    peer = Quiet(1)
    peer.is_within_frame = within
    await watch([peer], 29, message_timeout_s=5)
    assert bool(peer.ended) == ended
