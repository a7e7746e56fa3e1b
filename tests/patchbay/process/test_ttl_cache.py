"""What is remembered, for how long, and how much of it."""

from __future__ import annotations

from patchbay.process.ttl_cache import TtlCache


def test_for_a_while() -> None:
    recent: TtlCache[str] = TtlCache(10.0, 100)
    recent.put("a", "first", 0.0)
    recent.put("b", "second", 5.0)
    assert recent.all(9.9) == ["first", "second"]
    assert recent.get("a", 10.0) is None
    assert recent.all(10.0) == ["second"]
    assert recent.all(15.0) == []


def test_the_latest_by_key() -> None:
    """And it is as old as its latest."""
    recent: TtlCache[str] = TtlCache(10.0, 100)
    recent.put("a", "once", 0.0)
    recent.put("b", "in between", 1.0)
    recent.put("a", "again", 2.0)
    assert recent.all(3.0) == ["in between", "again"]
    assert recent.get("a", 11.5) == "again"


def test_no_more_than_so_many() -> None:
    recent: TtlCache[int] = TtlCache(10.0, 3)
    for number in range(10):
        recent.put(number, number, 0.0)
    assert recent.all(0.0) == [7, 8, 9]
