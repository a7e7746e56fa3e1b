"""The picture of all calls, from what the actors say of themselves."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.console.stats import MAX_SOURCES, REPLACED_S, StatsBook


def ingest(*calls: str, name: str = "ingest.0", epoch: int = 1, **counters: int) -> dict[str, Any]:
    described = [
        {"call_control_id": call, "stream_id": f"s-{call}", "started_at": f"2026-01-01T00:00:0{index}Z", "epoch": epoch}
        for index, call in enumerate(calls)
    ]
    return {"from": name, "epoch": epoch, "calls": described, "counters": counters}


def fanout(name: str = "fanout.0", epoch: int = 1, unbound: int = 0, **listeners: int) -> dict[str, Any]:
    return {"from": name, "epoch": epoch, "listeners": listeners, "unbound_listeners": unbound, "counters": {}}


def listeners(book: StatsBook, now: float) -> dict[str, int]:
    return {call["call_control_id"]: call["listeners"] for call in book.calls(now)}


def test_calls_of_all_ingests_with_the_listeners_of_all_fanouts_oldest_first() -> None:
    book = StatsBook()
    book.receive(ingest("a", "b"), 0)
    book.receive(ingest("c", name="ingest.1"), 0)
    book.receive(fanout(a=2, waiting=1), 0)
    book.receive(fanout("fanout.1", unbound=1, a=1, c=1), 0)
    assert [call["call_control_id"] for call in book.calls(1)] == ["a", "c", "b"]
    assert listeners(book, 1) == {"a": 4, "b": 1, "c": 2}
    assert book.listeners(1) == 5
    assert book.unbound_listeners(1) == 1


def test_a_later_word_replaces_an_earlier_one_and_silence_ends_a_source() -> None:
    book = StatsBook()
    book.receive(ingest("a"), 0)
    book.receive(ingest("b"), 1)
    assert list(listeners(book, 5.9)) == ["b"]
    assert list(listeners(book, 6.1)) == []


def test_in_a_roll_both_processes_count_and_the_newer_one_has_the_last_word() -> None:
    book = StatsBook()
    book.receive(ingest("a", "b", epoch=1, frames_in=5), 0)
    book.receive(ingest("a", epoch=2, frames_in=1), 0.1)
    book.receive(fanout(epoch=1, a=1), 0)
    book.receive(fanout(epoch=2, a=2), 0.1)
    assert {call["call_control_id"]: call["epoch"] for call in book.calls(0.2)} == {"a": 2, "b": 1}
    assert listeners(book, 0.2) == {"a": 3, "b": 0}
    assert book.numbers("counters", 0.2)["ingest.0"]["frames_in"] == 6


def test_what_a_crashed_process_said_goes_soon_after_its_successor_speaks() -> None:
    book = StatsBook()
    book.receive(fanout(epoch=1, a=1), 0)
    book.receive(ingest("a"), 0)
    book.receive(fanout(epoch=2, a=1), 1)
    assert listeners(book, REPLACED_S - 0.1) == {"a": 2}
    assert listeners(book, REPLACED_S + 0.1) == {"a": 1}


def test_a_stream_without_a_call_control_id_is_a_call_too_and_one_without_any_id_is_not() -> None:
    book = StatsBook()
    calls = [{"call_control_id": None, "stream_id": "s"}, {}, "text", {"call_control_id": 7}]
    book.receive({"from": "ingest.0", "epoch": 1, "calls": calls}, 0)
    assert [call["stream_id"] for call in book.calls(0)] == ["s"]


def test_sources_are_bounded() -> None:
    book = StatsBook()
    for number in range(MAX_SOURCES + 10):
        book.receive(ingest(f"c{number}", name=f"ingest.{number}"), 0)
    assert len(book.calls(0)) == MAX_SOURCES
    book.receive(ingest("c0", name="ingest.0"), 4)
    assert len(book.calls(4.5)) == MAX_SOURCES


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["from", "epoch", "calls", "listeners", "counters", "call_control_id", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(anything, st.dictionaries(st.sampled_from(["calls", "listeners", "unbound_listeners", "counters"]), anything))
def test_nothing_that_is_said_does_harm(said: object, fields: dict[str, object]) -> None:
    book = StatsBook()
    book.receive(said, 0)
    book.receive({"from": "ingest.0", "epoch": 1, **fields}, 0)
    book.calls(0)
    book.numbers("gauges", 0)
    assert book.unbound_listeners(0) >= 0 or fields
