"""What becomes of the journal when its file is deleted, cut, spoilt, locked, full or not to be written to."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.call_events.journal.interface import Unavailable
from actors.call_events.journal.store import NAME, Store
from tests.call_events.samples import arrival

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.call_events.journal.interface import Commit
    from actors.call_events.journal.journal import Journal


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path)
    yield found
    found.close()


def record(store: Store, *names: str) -> Commit:
    return store.use(lambda journal: journal.commit([arrival(name) for name in names], journal.last_offset))


def kept(store: Store) -> list[str]:
    """The ids in the file that has the name now, as another program sees them."""
    with closing(sqlite3.connect(store.path)) as file:
        return [row[0] for row in file.execute("SELECT id FROM events ORDER BY offset")]


def epoch(store: Store) -> str:
    return store.use(lambda journal: journal.epoch)


@pytest.mark.parametrize("suffixes", [("",), ("", "-wal", "-shm"), ("-wal",)])
def test_deleted_while_it_is_open(store: Store, suffixes: tuple[str, ...]) -> None:
    """It is written again before anything more is acknowledged: nothing is lost, and it is the same journal."""
    record(store, "a")
    before = epoch(store)
    for suffix in suffixes:
        Path(f"{store.path}{suffix}").unlink()
    record(store, "b")
    record(store, "c")
    assert kept(store) == ["a", "b", "c"]
    assert epoch(store) == before


def test_the_directory_is_deleted_while_it_is_open(tmp_path: Path) -> None:
    """The same, though all that lay beside the file has gone too; it is the same journal after the next start."""
    store = Store(tmp_path / "data")
    record(store, "a")
    before = epoch(store)
    shutil.rmtree(tmp_path / "data")
    record(store, "b")
    assert kept(store) == ["a", "b"]
    store.close()
    store = Store(tmp_path / "data")
    assert epoch(store) == before
    store.close()


def test_replaced_while_it_is_open(store: Store, tmp_path: Path) -> None:
    record(store, "a")
    (tmp_path / "other").write_bytes(b"something else")
    (tmp_path / "other").rename(store.path)
    record(store, "b")
    assert kept(store) == ["a", "b"]
    assert [path.read_bytes() for path in tmp_path.glob("*.strange-*[0-9]")] == [b"something else"]


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_cut_while_it_is_open(store: Store, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is set aside and a new one begun, whose epoch and offsets are others."""
    offset = record(store, "a").entries[0].offset
    before = epoch(store)
    with Path(f"{store.path}{suffix}").open("r+b") as file:
        file.truncate(100)
    done = record(store, "b")
    assert kept(store) == ["b"]
    assert epoch(store) != before
    assert done.entries[0].offset > offset
    assert [path for path in tmp_path.iterdir() if ".damaged-" in path.name]
    assert "a new one is begun" in caplog.text


@pytest.mark.parametrize("content", [b"rubbish" * 1000, b"SQLite format 3\0" + b"\xff" * 8192, b"short"])
def test_no_journal_at_all(store: Store, content: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(content)
    record(store, "a")
    assert kept(store) == ["a"]
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged-*[0-9]")] == [content]


def test_spoilt_pages_are_found_at_the_start(store: Store, tmp_path: Path) -> None:
    record(store, *map(str, range(500)))
    store.release()
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    data[8192:40960] = bytes(40960 - 8192)
    path.write_bytes(data)
    record(store, "a")
    assert kept(store) == ["a"]


def test_locked_by_somebody_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.call_events.journal.journal.BUSY_TIMEOUT_MS", 10)
    record(store, "a")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            record(store, "b")
        other.execute("ROLLBACK")
    assert record(store, "b").taken == [True]


def test_full(store: Store) -> None:
    record(store, "a")

    def limit(pages: int) -> None:
        store.use(lambda journal: journal._db.execute(f"PRAGMA max_page_count = {pages}").fetchall())

    limit(1)
    with pytest.raises(Unavailable, match="the disk is full"):
        record(store, *map(str, range(500)))
    limit(10**6)
    assert all(record(store, *map(str, range(500))).taken)


def test_not_to_be_written_to(store: Store) -> None:
    record(store, "a")
    store.use(lambda journal: journal._db.execute("PRAGMA query_only = 1"))
    with pytest.raises(Unavailable, match="may not be written"):
        record(store, "b")
    assert record(store, "b").taken == [True]  # it was opened again


def test_a_directory_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        record(Store(tmp_path / "file" / "below"), "a")


def test_a_newer_file(store: Store) -> None:
    with closing(sqlite3.connect(store.path)) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(Unavailable, match="99"):
        record(store, "a")


def test_breaks_again_and_again(store: Store) -> None:
    def spoil(journal: Journal) -> None:
        with Path(store.path).open("r+b") as file:
            file.truncate(10)
        del journal

    with pytest.raises(Unavailable, match="again and again"):
        store.use(spoil)


def test_set_aside(store: Store, tmp_path: Path) -> None:
    record(store, "a")
    store.set_aside("a check says so")
    record(store, "b")
    assert kept(store) == ["b"]
    assert list(tmp_path.glob("*.damaged-*[0-9]"))


def test_closed(store: Store) -> None:
    store.close()
    with pytest.raises(Unavailable):
        record(store, "a")
