"""The log in memory: offsets, repeats, bounds, replay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.call_events.events import Event
from actors.call_events.memory_log import MemoryLog


def event(event_id: str, size: int = 2) -> Event:
    return Event(event_id, "call.answered", "2026-01-01T00:00:00Z", b'"' + b"x" * (size - 2) + b'"', None)


def log(**bounds: int) -> MemoryLog:
    defaults = {"first_offset": 100, "max_events": 5, "max_bytes": 10_000, "max_ids": 20}
    return MemoryLog(epoch="7", **{**defaults, **bounds})


def offsets(found: MemoryLog, since: int) -> tuple[list[int], bool]:
    replay = found.since(since)
    return [entry.offset for entry in replay.entries], replay.complete


def test_offsets_grow_by_one_and_a_repeat_has_none() -> None:
    kept = log()
    assert kept.last_offset == 99
    entries = [kept.append(event(name)) for name in ("a", "b", "a", "c")]
    assert [entry and entry.offset for entry in entries] == [100, 101, None, 102]
    assert kept.last_offset == 102


def test_a_replay_is_complete_only_when_nothing_is_missing() -> None:
    kept = log()
    assert offsets(kept, 99) == ([], True)
    assert offsets(kept, 98) == ([], False)
    for name in "abcdefgh":
        kept.append(event(name))
    assert offsets(kept, 107) == ([], True)
    assert offsets(kept, 105) == ([106, 107], True)
    assert offsets(kept, 102) == ([103, 104, 105, 106, 107], True)
    assert offsets(kept, 101) == ([103, 104, 105, 106, 107], False)
    assert offsets(kept, -1) == ([103, 104, 105, 106, 107], False)
    assert offsets(kept, 108) == ([], False)


def test_large_events_push_others_out_and_one_that_is_too_large_is_kept_for_nobody() -> None:
    kept = log(max_bytes=1000)
    for name in "abc":
        kept.append(event(name, 400))
    assert kept.statistics()["bytes_kept"] <= 1000
    assert kept.append(event("d", 5000)) is not None
    assert offsets(kept, 102) == ([], False)
    assert offsets(kept, 103) == ([], True)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(2, 400)), max_size=80))
def test_it_is_bounded_and_takes_every_remembered_id_once(steps: list[tuple[int, int]]) -> None:
    kept = log(max_bytes=1500)
    remembered: list[int] = []
    for number, size in steps:
        assert (kept.append(event(str(number), size)) is None) == (number in remembered)
        if number not in remembered:
            remembered = [*remembered, number][-20:]
        found = kept.statistics()
        assert found["events_kept"] <= 5
        assert found["bytes_kept"] <= 1500
        assert found["ids_kept"] == len(remembered)
    replay = kept.since(-1)
    assert sum(len(entry.text) for entry in replay.entries) == kept.statistics()["bytes_kept"]


def test_the_oldest_ids_are_forgotten() -> None:
    kept = log(max_ids=2)
    assert [kept.append(event(name)) is None for name in ("a", "b", "b", "c", "a", "b")] == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
