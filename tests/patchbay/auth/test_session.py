"""What a connection's token grants, its renewal and its end; and how much a peer may send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from config.settings import AuthSettings
from config.tokens import make_token
from patchbay.auth.session import Session, verifier_of
from patchbay.net.rate_limit import RateLimit
from patchbay.websocket.keepalive import keep_alive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchbay.handover.connection import HandedConnection
    from patchbay.websocket.connection import WebSocketConnection

SECRET, NOW = "PyOmnDUJYsHRqJxz0o4yt1ABCW9Nn0xY", 1_800_000_000.0
AUTH = AuthSettings(enabled=True, jwt_secret=SECRET, leeway_s=0.0)
CLAIMS = {"sub": "me", "exp": NOW + 5, "calls": ["a"], "can": ["listen", "talk"]}


class Connection:
    """What a session needs of a handed connection."""

    def __init__(self, claims: dict[str, Any] | None) -> None:
        self.claims = claims
        self.peer = "192.0.2.1:1"

    def set_claims(self, claims: dict[str, Any]) -> None:
        self.claims = claims


def session_of(claims: dict[str, Any] | None) -> tuple[Session, Connection]:
    connection = Connection(claims)
    verifier = verifier_of(AUTH) if claims is not None else None
    return Session(cast("HandedConnection", connection), verifier, "listen"), connection


def show(
    *, sub: str = "me", calls: Sequence[str] = ("a",), can: Sequence[str] = ("listen",), ttl_s: float = 60
) -> bytes:
    made = make_token(SECRET, algorithm="HS256", subject=sub, calls=calls, can=can, now=NOW, ttl_s=ttl_s)
    return json.dumps({"event": "auth", "token": made}).encode()


def test_a_newer_token() -> None:
    """Is taken, with its rights; the calls stay those of the connection."""
    session, connection = session_of(dict(CLAIMS))
    assert (session.calls, session.may_talk, session.is_admin) == (frozenset({"a"}), True, False)
    assert json.loads(session.renew(show(calls=["a", "b"], can=["listen", "admin"]), NOW)) == {
        "event": "auth",
        "exp": NOW + 60,
    }
    assert connection.claims == {"sub": "me", "exp": NOW + 60, "calls": ["a"], "can": ["listen", "admin"]}
    assert (session.calls, session.may_talk, session.is_admin) == (frozenset({"a"}), False, True)


@pytest.mark.parametrize(
    "message",
    [
        show(sub="thief"),
        show(can=["talk"]),
        show(calls=["b"]),
        show(ttl_s=-1),
        b'{"event":"auth","token":"rubbish"}',
        b'{"event":"auth","token":7}',
        b'{"event":"auth"}',
        b'{"event":"auth","token":"\xff"}',
        b"[",
    ],
)
def test_tokens_that_are_not_taken(message: bytes) -> None:
    """Nothing changes, and the client is told why."""
    session, connection = session_of(dict(CLAIMS))
    assert json.loads(session.renew(message, NOW))["payload"]["code"] == 200011
    assert connection.claims == CLAIMS


def test_without_authentication() -> None:
    """Everything is granted but to take the floor from others, and a token means nothing."""
    session, connection = session_of(None)
    assert (session.calls, session.may_talk, session.is_admin) == (None, True, False)
    assert json.loads(session.renew(show(), NOW)) == {"event": "auth", "exp": None}
    assert connection.claims is None
    assert verifier_of(AuthSettings()) is None


class FakePeer:
    """What `keep_alive` needs of a peer."""

    def __init__(self, number: int, claims: dict[str, Any] | None = None) -> None:
        self.handed = self
        self.id, self.peer, self.claims = number, "192.0.2.1:1", claims
        self.last_heard = self.opened_at = trio.current_time()
        self.send_queue = self
        self.pings = 0
        self.is_within_message = self.is_within_frame = False
        self.message_since = 0.0
        self.ended: list[object] = []

    def write_control(self, frame: bytes) -> None:
        self.pings += frame == b"\x89\x00"

    def end_of_input(self) -> None:
        self.ended.append("silent")

    async def close(self, code: int, reason: str) -> None:
        assert reason
        self.ended.append(code)


async def test_connections_whose_time_is_over(autojump_clock: trio.testing.MockClock) -> None:
    """Each is ended once, with the code that says why; a silent one without a word."""
    del autojump_clock
    expiring, old, silent = FakePeer(1, {"exp": NOW + 10}), FakePeer(2), FakePeer(3)
    began = trio.current_time()
    peers = cast("list[WebSocketConnection]", [expiring, old, silent])
    with trio.move_on_after(70):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_talk, [expiring, old])

            async def look() -> None:
                await keep_alive(
                    peers, interval_s=20, timeout_s=20, lifetime_s=60, wall=lambda: NOW + trio.current_time() - began
                )

            nursery.start_soon(look)
            await trio.sleep(30)
            assert expiring.ended == [4502]
            assert (silent.pings, silent.ended) == (1, [])
            await trio.sleep(15)
            assert silent.ended[:1] == ["silent"]
            assert old.ended == []
            await trio.sleep(20)
            assert old.ended == [4009]
            assert expiring.ended[:1] == [4502]
            assert expiring.ended.count(4502) == 1
            nursery.cancel_scope.cancel()


async def _talk(peers: list[FakePeer]) -> None:
    while True:
        for peer in peers:
            peer.last_heard = trio.current_time()
        await trio.sleep(1)


def test_an_allowance() -> None:
    """So much at once, then as time brings it; what is too much is not spent."""
    rate_limit = RateLimit(10.0, 20)
    assert rate_limit.spend(20, 5.0)
    assert not rate_limit.spend(1, 5.0)
    assert not rate_limit.spend(6, 5.5)
    assert rate_limit.spend(5, 5.5)
    assert not rate_limit.spend(21, 100.0)
    assert rate_limit.spend(20, 100.0)


@given(
    st.floats(0.1, 1e4), st.floats(1, 1e4), st.lists(st.tuples(st.floats(0, 10), st.integers(0, 1000)), max_size=100)
)
def test_an_allowance_is_never_exceeded(per_s: float, burst: float, spends: list[tuple[float, int]]) -> None:
    """At most the burst and what time brought."""
    rate_limit, now, spent = RateLimit(per_s, burst), 0.0, 0
    for wait, amount in spends:
        now += wait
        spent += amount if rate_limit.spend(amount, now) else 0
    assert spent <= burst + now * per_s + 1e-3
