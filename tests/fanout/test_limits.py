"""What all connections of one token may have of a fan-out process, and how many may listen to a call."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from actors.fanout.limits import Limits
from config.settings import FanoutSettings
from patchbay.protocol.batches import EVERY_CALL, digest
from tests.fanout.v1.v1_room import Room

if TYPE_CHECKING:
    import pytest
    from trio.testing import MockClock

A, B = digest("a"), digest("b")


class Process:
    """Limits, and who listens."""

    def __init__(self, **options: int) -> None:
        self.counters: Counter[str] = Counter()
        self.listening: Counter[bytes] = Counter()
        settings = FanoutSettings(**options)
        self.limits = Limits(settings, self.listening.__getitem__, self.counters)


async def test_subscriptions_of_one_token(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """All its connections count together; another token's don't."""
    process = Process(subscriptions_per_token=3)
    with process.limits.held([A, B], "me"):
        assert process.limits.refusal([A], "me") is None
        assert "tokens of this `sub`" in str(process.limits.refusal([A, B], "me"))
        assert process.limits.refusal([A, B], "you") is None
        assert process.limits.refusal([A, B], "") is None  # authentication is off
    assert process.limits.refusal([A, B], "me") is None
    assert process.counters == {"too_many_subscriptions": 1}
    assert [record.sub for record in caplog.records] == ["me"]  # type: ignore[attr-defined]


async def test_listeners_that_come_at_once(autojump_clock: MockClock) -> None:
    """Those whose handshakes are under way count as well as those that are there."""
    process = Process(listeners_per_call=2)
    process.listening[A] = 1
    with process.limits.held([A], "") as done:
        assert process.limits.refusal([A], "") is not None
        assert process.limits.refusal([B], "") is None
        done()
        assert process.limits.refusal([A], "") is None  # the registry has it from here on, where it has come
    with process.limits.held([EVERY_CALL], ""), process.limits.held([EVERY_CALL], ""):
        assert process.limits.refusal([EVERY_CALL], "") is None
    assert process.counters == {"too_many_listeners": 1}


async def test_the_log_is_not_flooded(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """All are counted, some are told."""
    process = Process(listeners_per_call=1)
    process.listening[A] = 1
    for _ in range(500):
        process.limits.refusal([A], "me")
    assert process.counters["too_many_listeners"] == 500
    assert 0 < len(caplog.records) < 50


def test_subscriptions_in_band() -> None:
    """`patchbay.v1`: the next one is refused with 200009, and there is room again when one is given back."""
    claims = {"sub": "me", "exp": 2e9, "calls": "*", "can": ["listen", "talk"]}
    room = Room(claims, subscriptions_per_token=2)
    other = room.connection
    mine = room.connect(6)
    for connection, call in ((other, "a"), (mine, "b")):
        room.connection = connection
        connection.on_text(b'{"type":"subscribe","call_control_id":"%s"}' % call.encode(), 0.0)
    for kind in ("subscribe", "talk.start"):
        (told,) = room.asks(kind, call_control_id="c", id=1)
        assert told["code"] == 200009
        assert "sub" in told["detail"]
    assert room.asks("subscribe", call_control_id="b", tracks=["outbound"], id=2)[0]["type"] == "subscribed"
    room.asks("unsubscribe", call=1)
    assert room.asks("subscribe", call_control_id="c", id=3)[0]["type"] == "subscribed"
    mine.close()
    other.close()
    assert room.subscriptions["me"] == 0


def test_a_successor_counts_what_it_takes_over() -> None:
    """Also beyond the limit."""
    claims = {"sub": "me", "exp": 2e9, "calls": "*", "can": ["listen"]}
    room = Room(claims, subscriptions_per_token=2)
    for call in ("a", "b"):
        room.asks("subscribe", call_control_id=call)
    room.restart()
    assert room.subscriptions["me"] == 2
    assert room.asks("subscribe", call_control_id="c")[0]["code"] == 200009
