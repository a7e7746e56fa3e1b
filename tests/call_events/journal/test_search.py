"""Searches in the journal: each reads a part at a time, and says how far it has come."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.call_events.clients.filter import PREFIXES_MAX, TYPES_MAX, parse_filter, reader_of
from actors.call_events.entry import Interest
from actors.call_events.journal.journal import Journal
from actors.call_events.journal.search import TIME_BACKWARDS_S, TIME_S, WINDOW, Search
from patchbay.protocol.query import BadQuery
from tests.call_events.samples import arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RARE = Interest(types=frozenset({"rare"}))
KINDS = ("call.answered", "call.hangup", "stream.dtmf", "rare")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "j")) as opened:
        opened.commit([arrival(n, kind="rare" if n in (5, 895) else "common") for n in range(900)], opened.last_offset)
        yield opened


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.call_events.journal.search.WINDOW", 10)
    monkeypatch.setattr("actors.call_events.journal.search.WINDOW_OF_CALLS", 10)


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that goes on by so much each time that it is looked at."""
    ticks = count()
    return lambda: next(ticks) * seconds


def counted(journal: Journal, search: Callable[[], object]) -> int:
    """How many hundreds of steps SQLite's machine takes."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    journal._db.set_progress_handler(step, 100)
    search()
    journal._db.set_progress_handler(None, 0)
    return steps


@pytest.mark.usefixtures("small_windows")
def test_a_search_that_takes_too_long_says_where_to_go_on(journal: Journal) -> None:
    """Nothing is left out on the way."""
    first, last, after, found = journal.oldest_offset, journal.last_offset, 0, []
    reads = 0
    while after < last:
        reads += 1
        search = Search(journal._db, RARE, ticking(TIME_S / 3))
        found += [row[0] for row in search.forwards(after, last, 100)]
        assert search.upto <= max(after, first - 1) + 30
        after = search.upto
    assert found == [first + 5, first + 895]
    assert reads == 30


@pytest.mark.usefixtures("small_windows")
def test_the_latest_that_are_found_in_time(journal: Journal) -> None:
    """What is rarer has to be asked for with `since`."""
    last = journal.last_offset
    assert Search(journal._db, RARE, lambda: 0.0).backwards(last, 1) == journal.oldest_offset + 5
    assert Search(journal._db, RARE, lambda: 0.0).backwards(last, 2) is None
    at = Search(journal._db, RARE, ticking(TIME_BACKWARDS_S)).backwards(last, 1)
    assert at == last - 10


@pytest.mark.usefixtures("small_windows")
def test_a_gap_in_the_offsets_costs_nothing(journal: Journal) -> None:
    """As between the events of two epochs."""
    begin = journal.oldest_offset
    journal._db.execute("UPDATE events SET offset = offset + 1000000000 WHERE offset > ?", (begin + 450,))
    search = Search(journal._db, RARE, lambda: 0.0)
    assert counted(journal, lambda: list(search.forwards(0, journal.last_offset, 100))) < 300
    assert Search(journal._db, RARE, lambda: 0.0).backwards(journal.last_offset, 1) == begin + 5


def test_a_search_reads_no_more_than_its_time_whatever_is_asked_for(journal: Journal) -> None:
    """Twice the journal does not take it twice the work, twice the prefixes take at most twice."""

    def steps(prefixes: int) -> int:
        interest = Interest(types=frozenset(), prefixes=tuple(f"none{n}" for n in range(prefixes)))
        clock = ticking(TIME_S)
        return counted(
            journal, lambda: list(Search(journal._db, interest, clock).forwards(0, journal.last_offset, 100))
        )

    pages_window = steps(10)
    assert steps(20) < 2.2 * pages_window
    journal.commit([arrival(f"more {n}") for n in range(4000)], journal.last_offset)
    assert steps(10) < pages_window * WINDOW / 900 * 1.5


interests = st.builds(
    Interest,
    calls=st.none() | st.frozensets(st.sampled_from(["v3:0", "v3:1", "v3:2"])),
    types=st.none() | st.frozensets(st.sampled_from(KINDS)),
    prefixes=st.lists(st.sampled_from(["call.", "r", ""]), max_size=2).map(tuple),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(KINDS)), max_size=40), interests, st.integers(1, 9))
def test_what_is_found_is_what_is_wanted(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    events: list[tuple[int, str]],
    interest: Interest,
    limit: int,
) -> None:
    """A page after the other, of any size and in any time, and the latest by counting back."""
    monkeypatch.setattr("actors.call_events.journal.search.WINDOW", 3)
    monkeypatch.setattr("actors.call_events.journal.search.WINDOW_OF_CALLS", 4)
    with closing(Journal(tmp_path_factory.mktemp("j") / "j")) as journal:
        start = journal.last_offset
        arrivals = [arrival(n, f"v3:{call}", kind) for n, (call, kind) in enumerate(events)]
        entries = journal.commit(arrivals, start).entries
        wanted = [entry.offset for entry in entries if interest.wants(entry)]
        found, after = list[int](), start
        while after < journal.last_offset:
            search = Search(journal._db, interest, ticking(TIME_S))
            found += [row[0] for row in search.forwards(after, journal.last_offset, limit)]
            after = search.upto
        assert found == wanted
        at = Search(journal._db, interest, lambda: 0.0).backwards(journal.last_offset, limit)
        assert [offset for offset in wanted if offset > (start if at is None else at)] == wanted[-limit:]


def test_so_many_types_and_no_more() -> None:
    """In words that say how many."""
    assert parse_filter({"type": [",".join(f"t{n}" for n in range(TYPES_MAX))]}, None).interest.types
    assert len(parse_filter({"type": [f"t{n}*" for n in range(PREFIXES_MAX)]}, None).interest.prefixes) == PREFIXES_MAX
    for kinds in ([f"t{n}" for n in range(TYPES_MAX + 1)], [f"t{n}*" for n in range(PREFIXES_MAX + 1)]):
        for query in ({"type": kinds}, {"type": [",".join(kinds)]}):
            with pytest.raises(BadQuery, match=str(PREFIXES_MAX)):
                parse_filter(query, None)
    repeated = parse_filter({"type": ["a*,a*,b"] * 500}, None).interest
    assert (repeated.types, repeated.prefixes) == (frozenset({"b"}), ("a",))


def test_who_reads() -> None:
    """A token's owner, however many tokens he has; else an address."""
    assert reader_of({"sub": "ann"}, "192.0.2.7:1") == "ann"
    assert reader_of(None, "192.0.2.7 via 127.0.0.1:1") == "192.0.2.7"
    assert reader_of({"sub": ""}, "192.0.2.7:1") == "192.0.2.7"


def test_sqlite_is_asked_with_no_text_of_a_peer(journal: Journal) -> None:
    """Types and calls are values."""
    nasty = "'; DROP TABLE events; --"
    interest = Interest(frozenset({nasty}), frozenset({nasty}), (nasty,))
    assert list(Search(journal._db, interest).forwards(0, journal.last_offset, 10)) == []
    assert sqlite3.connect(journal.path).execute("SELECT count(*) FROM events").fetchone() == (900,)


async def test_pages_of_one_reader_at_once() -> None:
    """429 for one more; others are not concerned."""
    from actors.call_events.api import AT_ONCE_MAX, EventsApi
    from patchbay.http.message import Request

    waiting = 0

    class Slow:
        @property
        def reader(self) -> Slow:
            return self

        async def latest(self, *_: object, **__: object) -> int:
            nonlocal waiting
            waiting += 1
            return await trio.sleep_forever()

    api = EventsApi(None, Slow())  # type: ignore[arg-type]

    def request(sub: str) -> Request:
        claims = {"sub": sub, "calls": "*", "can": ["events"]}
        return Request("GET", "/events", {}, [], b"", "192.0.2.7:1", claims)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE_MAX):
            nursery.start_soon(api, request("ann"))
        await trio.testing.wait_all_tasks_blocked()
        assert (await api(request("ann"))).status == 429
        nursery.start_soon(api, request("bob"))
        await trio.testing.wait_all_tasks_blocked()
        assert waiting == AT_ONCE_MAX + 1
        nursery.cancel_scope.cancel()
    assert not api._asked
