"""The journal as a file: places, repeats, pages, ends, and older and newer files."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.call_events.entry import Entry, Interest
from actors.call_events.journal import schema
from actors.call_events.journal.journal import Journal
from tests.call_events.samples import arrival

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024


@contextmanager
def journal(directory: Path) -> Iterator[Journal]:
    with closing(Journal(directory / "j")) as opened:
        yield opened


def ids(entries: list[Entry]) -> list[str]:
    return [orjson.loads(entry.text)["id"] for entry in entries]


def test_places_follow_each_other_and_a_repeat_has_none(tmp_path: Path) -> None:
    with journal(tmp_path) as kept:
        first = kept.last_offset
        done = kept.commit([arrival("a"), arrival("b"), arrival("a")], first)
        assert done.taken == [True, True, False]
        assert [entry.offset for entry in done.entries] == [first + 1, first + 2]
        epoch = kept.epoch
    with journal(tmp_path) as kept:
        assert (kept.epoch, kept.last_offset) == (epoch, first + 2)
        assert kept.commit([arrival("b"), arrival("c")], first + 2).taken == [False, True]
        assert ids(kept.newest(2)) == ["b", "c"]
        assert kept.live_calls()["v3:a"].is_live
        assert kept.check() is None


def test_bodies_are_kept_as_received(tmp_path: Path) -> None:
    sent = arrival("a")
    with journal(tmp_path) as kept:
        kept.commit([sent], kept.last_offset)
    with closing(sqlite3.connect(tmp_path / "j")) as file:
        assert file.execute("SELECT body, source, call FROM events").fetchall() == [(sent.body, "telnyx", "v3:a")]


def test_two_processes_write_one_row_of_offsets(tmp_path: Path) -> None:
    with journal(tmp_path) as one, journal(tmp_path) as two:
        assert one.epoch == two.epoch
        start = one.last_offset
        one.commit([arrival("a")], start)
        done = two.commit([arrival("a"), arrival("b", "v3:b")], start)
        assert done.taken == [False, True]
        assert ids(done.entries) == ["a", "b"]
        assert set(done.states) == {"v3:a", "v3:b"}
        assert ids(one.newer(start + 1).entries) == ["b"]


def test_what_is_read_together_belongs_together(tmp_path: Path) -> None:
    """A successor opens the journal while its predecessor writes: a last offset beyond the events that it has seen
    would be an event that it never tells anybody."""
    with journal(tmp_path) as one, journal(tmp_path) as two:
        one.commit([arrival("a")], one.last_offset)
        with two.read_transaction():
            assert ids(two.newest(10)) == ["a"]
            last = one.commit([arrival("b")], one.last_offset).entries[0].offset
            assert two.last_offset == last - 1
        assert two.last_offset == last


def test_all_or_none(tmp_path: Path) -> None:
    with journal(tmp_path) as kept, closing(sqlite3.connect(tmp_path / "j", timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            kept.commit([arrival("a")], kept.last_offset)
        other.rollback()
        assert kept.commit([arrival("a")], kept.last_offset).taken == [True]


def test_pages_of_what_is_wanted(tmp_path: Path) -> None:
    with journal(tmp_path) as kept:
        start = kept.last_offset
        kinds = ("call.answered", "call.hangup", "stream.dtmf")
        kept.commit([arrival(n, f"v3:{n % 2}", kinds[n % 3]) for n in range(12)], start)

        def page(interest: Interest, after: int = start, limit: int = 100) -> tuple[list[str], int]:
            found = kept.page(interest, after, limit, MIB)
            assert found.oldest == start + 1
            return ids(found.entries), found.upto - start

        assert page(Interest()) == ([str(n) for n in range(12)], 12)
        assert page(Interest(), limit=3) == (["0", "1", "2"], 3)
        assert page(Interest(frozenset({"v3:1"})), start + 4) == (["5", "7", "9", "11"], 12)
        assert page(Interest(types=frozenset({"call.hangup"})), limit=2) == (["1", "4"], 5)
        assert page(Interest(types=frozenset(), prefixes=("call.",)), start + 9) == (["9", "10"], 12)
        assert page(Interest(frozenset())) == ([], 12)
        assert len(kept.page(Interest(), start, 100, 600).entries) == 2
        assert kept.latest(Interest(frozenset({"v3:1"})), 2) == start + 8
        assert kept.latest(Interest(), 100) == start


def test_old_events_go_a_few_at_a_time_and_the_newest_stays(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with journal(tmp_path) as kept:
        start = kept.last_offset
        kept.commit([arrival(n, received_at=now - 10_000_000) for n in range(700)], start)
        assert [kept.prune(before=now, max_bytes=10**12, fresh=0)[0] for _ in range(3)] == [500, 199, 0]
        assert (kept.oldest_offset, kept.last_offset) == (start + 700, start + 700)
        assert kept.commit([arrival("next")], start + 700).entries[0].offset == start + 701


def test_an_older_file_is_migrated_and_a_newer_one_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as file:
        file.executescript(schema.MIGRATIONS[0])
        file.execute("PRAGMA user_version = 1")
    with journal(tmp_path) as kept:
        assert kept.commit([arrival("a")], kept.last_offset).taken == [True]
    with closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as file:
        assert schema.version(file) == schema.VERSION
        file.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(schema.NewerSchema):
        Journal(tmp_path / "j")


def test_a_failed_migration_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", ("CREATE TABLE a (b); CREATE TABLE a (c)",))
    with closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as file:
        with pytest.raises(sqlite3.OperationalError):
            schema.migrate(file)
        assert schema.version(file) == 0
        assert file.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=10))
def test_every_id_once_in_the_order_of_its_first_arrival(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    with journal(tmp_path_factory.mktemp("j")) as kept:
        start = known = kept.last_offset
        heard: list[str] = []
        for batch in batches:
            entries = kept.commit([arrival(n) for n in batch], known).entries
            heard += ids(entries)
            known = entries[-1].offset if entries else known
        assert heard == list(dict.fromkeys(str(n) for batch in batches for n in batch))
        assert ids(kept.page(Interest(), start, 1000, MIB).entries) == heard
