"""What one connection may send, what all of one token may send together, and what they may hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.net.quota import Quota
from patchbay.net.rate_limit import KEYS_MAX, SUBS_MAX, RateLimit, RateLimits, RateLimitsByKey, SharedRateLimit

NOW = 100.0
ME, YOU = {"sub": "me"}, {"sub": "you"}


def rate_limits(**more: float) -> RateLimits:
    return RateLimits(10.0, 100, **{"token_per_s": 20.0, "token_burst": 150, **more})


def test_keys_do_not_share() -> None:
    """Each key has its burst at once, and then what is refilled; a key may have several times as much."""
    limits = RateLimitsByKey(2.0, 3)
    assert [limits.of("a").spend(1, NOW) for _ in range(4)] == [True, True, True, False]
    assert limits.of("b").spend(1, NOW)
    assert not limits.of("a").spend(1, NOW + 0.4)
    assert limits.of("a").spend(1, NOW + 0.6)
    assert [limits.of("a").spend(1, NOW + 100) for _ in range(4)] == [True, True, True, False]
    assert sum(limits.of("twice", 2).spend(1, NOW) for _ in range(10)) == 6
    assert sum(limits.of("twice", 2).spend(1, NOW + 1) for _ in range(10)) == 4


def test_keys_are_bounded() -> None:
    """A peer with many addresses can't fill our memory."""
    limits = RateLimitsByKey(1.0, 1)
    for number in range(KEYS_MAX + 10):
        assert limits.of(str(number)).spend(1, NOW)
    assert len(limits) == KEYS_MAX


@given(st.floats(0.1, 1000), st.integers(1, 100), st.lists(st.floats(0, 10), max_size=200))
def test_a_key_never_gets_more_than_it_may(per_s: float, burst: int, waits: list[float]) -> None:
    """At most the burst and what is refilled."""
    limits, now, taken = RateLimitsByKey(per_s, burst), NOW, 0
    for wait in waits:
        now += wait
        taken += limits.of("a").spend(1, now)
    assert taken <= burst + (now - NOW) * per_s + 1e-6


def test_each_connection_has_its_own() -> None:
    """Nothing else counts for those whose token is not known."""
    for claims in (None, {}, {"sub": ""}):
        each = rate_limits()
        for _ in range(10):
            one = each.of(claims)
            assert one.spend(100, NOW)
            assert not one.spend(1, NOW)
            assert one.violation == ("flood", "too many messages")


def test_connections_of_one_token_share() -> None:
    """More connections are not more messages; another token's are not concerned."""
    each = rate_limits()
    first, second, other = each.of(ME), each.of(ME), each.of(YOU)
    assert first.spend(100, NOW)
    assert not second.spend(51, NOW)
    assert second.violation[0] == "token_flood"
    assert second.spend(50, NOW)
    assert other.spend(100, NOW)
    assert second.spend(20, NOW + 1)
    assert not first.spend(1, NOW + 1)


def test_a_connection_is_told_of_its_own_excess() -> None:
    """Which costs the others nothing."""
    each = rate_limits()
    first, second = each.of(ME), each.of(ME)
    assert not first.spend(101, NOW)
    assert first.violation[0] == "flood"
    assert second.spend(100, NOW)


def test_coming_back_brings_nothing_back() -> None:
    """What was spent by connections that have ended stays spent."""
    each = rate_limits()
    assert each.of(ME).spend(100, NOW)
    assert each.of(ME).spend(50, NOW)
    assert not each.of(ME).spend(1, NOW)
    assert each.of(ME).spend(20, NOW + 1)
    assert not each.of(ME).spend(1, NOW + 1)


def test_those_remembered_are_bounded() -> None:
    """The one not asked for the longest goes."""
    each = rate_limits()
    assert each.of(ME).spend(100, NOW)
    for number in range(SUBS_MAX - 1):
        each.of({"sub": str(number)})
    assert not each.of(ME).spend(100, NOW)
    for number in range(SUBS_MAX):
        each.of({"sub": str(number)})
    assert each.of(ME).spend(100, NOW)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60), st.floats(0, 2)), max_size=100),
    st.floats(1, 50),
    st.integers(1, 200),
)
def test_together_never_more(spent: list[tuple[int, int, float]], per_s: float, burst: int) -> None:
    """Whichever connections send, in whatever order."""
    each = rate_limits(token_per_s=per_s, token_burst=burst)
    connections, now, taken = [each.of(ME) for _ in range(5)], NOW, 0
    for number, amount, wait in spent:
        now += wait
        if connections[number].spend(amount, now):
            taken += amount
    assert taken <= burst + (now - NOW) * per_s + 1e-6


def test_only_a_shared_one_is_of_another_kind() -> None:
    """What the routines in C read is an RateLimit itself."""
    each = rate_limits()
    assert type(each.of(None)) is RateLimit
    assert type(each.of(ME)) is SharedRateLimit


def test_holdings() -> None:
    """Up to the limit of each key; nobody has none; who holds nothing takes no room."""
    full: list[str] = []
    held = Quota[str](3, full.append)
    with held.held("a", 2):
        assert held["a"] == 2
        assert held.has_room("a")
        assert not held.has_room("a", 2)
        assert held.has_room("b", 3)
        held.add("a", 5)  # let in by a predecessor
        assert not held.has_room("a")
        held.remove("a", 5)
    assert held["a"] == 0
    assert full == ["a", "a"]
    with held.held("", 10):
        assert held.has_room("", 100)
    assert not held._held


def test_holdings_are_given_back_whatever_happens() -> None:
    """As when a handshake fails."""
    held = Quota[str](1)
    with pytest.raises(KeyError), held.held("a"):
        raise KeyError
    assert held.has_room("a")
