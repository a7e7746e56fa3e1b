"""The newest events in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.call_events.clients.recent_events import SPARE, RecentEvents
from actors.call_events.entry import Entry, Interest, entry_of
from tests.call_events.samples import arrival

ALL = Interest()


def entry(offset: int, call: str = "v3:a", size: int = 10) -> Entry:
    return entry_of(arrival(offset, call, note="x" * size).event, offset, "7")


def tail(last: int = 99, max_events: int = 1000, max_bytes: int = 10**6) -> RecentEvents:
    found = RecentEvents(max_events=max_events, max_bytes=max_bytes)
    found.reset(last)
    return found


def test_what_comes_after_an_offset_is_put_together_once() -> None:
    kept = tail()
    entries = [entry(100), entry(101), entry(102, "v3:b")]
    kept.extend(entries)
    assert kept.after(99, ALL, 10**6) == (b"".join(each.frame for each in entries), 102)
    assert kept.after(101, ALL, 10**6) == (entries[2].frame, 102)
    assert kept.after(100, ALL, 10**6)[0] is kept.after(100, ALL, 10**6)[0]
    assert kept.after(99, Interest(frozenset({"v3:b"})), 10**6) == (entries[2].frame, 102)
    assert kept.after(99, Interest(frozenset({"v3:c"})), 10**6) == (b"", 102)
    assert kept.after(102, ALL, 10**6) == (b"", 102)


def test_pieces_are_bounded_but_hold_one_frame_at_least() -> None:
    kept = tail()
    entries = [entry(100, size=1000), entry(101), entry(102, size=1000)]
    kept.extend(entries)
    assert kept.after(99, ALL, 10) == (entries[0].frame, 100)
    assert kept.after(99, ALL, 1500) == (entries[0].frame + entries[1].frame, 101)
    assert kept.after(101, ALL, 10) == (entries[2].frame, 102)


def test_a_gap_begins_it_anew() -> None:
    kept = tail()
    kept.extend([entry(100)])
    kept.extend([entry(105)])
    assert (kept.before, kept.last) == (104, 105)
    assert [each.offset for each in kept.entries_after(104)] == [105]


@given(st.lists(st.integers(1, 400), max_size=60), st.integers(300, 5000))
def test_it_is_bounded(sizes: list[int], max_bytes: int) -> None:
    kept = tail(max_events=5, max_bytes=max_bytes)
    for offset, size in enumerate(sizes, start=100):
        kept.extend([entry(offset, size=size)])
        found = kept.statistics()
        assert found["events_kept"] <= 5 + SPARE
        assert found["bytes_kept"] <= max_bytes
        assert kept.last == offset
        assert sum(len(each.frame) for each in kept.entries_after(kept.before)) == found["bytes_kept"]
