"""A journal that is not the one that was left is another one: new epoch, offsets that nobody has had. All else keeps
its epoch."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.call_events.journal.store import NAME, Store
from actors.call_events.journal.watermark import Watermark
from tests.call_events.samples import arrival

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.call_events.journal.interface import Commit

ROOT = Path(__file__).parents[3]
Kept = tuple[str, list[int]]  # epoch and offsets


def record(directory: Path, *names: str) -> tuple[str, list[int]]:
    """Take events and end in good order. Returns the epoch and their offsets."""
    store = Store(directory)
    try:
        done = store.use(lambda journal: journal.commit([arrival(name) for name in names], journal.last_offset))
        return store.use(lambda journal: journal.epoch), [entry.offset for entry in done.entries]
    finally:
        store.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def put_back(home: Path, copy: Path) -> None:
    (home / NAME).unlink()
    shutil.copy(copy / NAME, home / NAME)


def write_over(home: Path, copy: Path) -> None:
    (home / NAME).write_bytes((copy / NAME).read_bytes())


def put_all_back(home: Path, copy: Path) -> None:
    shutil.rmtree(home)
    shutil.copytree(copy, home)


def write_over_all(home: Path, copy: Path) -> None:
    for each in copy.iterdir():
        (home / each.name).write_bytes(each.read_bytes())


def put_back_by_sqlite(home: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy / NAME)) as source, closing(sqlite3.connect(home / NAME)) as target:
        source.backup(target)


def lose_the_mark(home: Path, copy: Path) -> None:
    del copy
    Path(f"{home / NAME}-mark").unlink()


def spoil_the_mark(home: Path, copy: Path) -> None:
    del copy
    Path(f"{home / NAME}-mark").write_bytes(b"\x00\xff\n")


def lose_the_origin(home: Path, copy: Path) -> None:
    del copy
    Path(f"{home / NAME}-origin").unlink()


def delete(home: Path, copy: Path) -> None:
    del copy
    (home / NAME).unlink()


@pytest.mark.parametrize(
    "restore",
    [
        put_back,
        write_over,
        put_all_back,
        write_over_all,
        put_back_by_sqlite,
        lose_the_mark,
        spoil_the_mark,
        lose_the_origin,
        delete,
    ],
)
def test_it_is_another_one(home: Path, tmp_path: Path, restore: Callable[[Path, Path], None]) -> None:
    """Whatever was put in its place; no offset is used again, and then it is the journal of this place."""
    epoch, first = record(home, "a")
    shutil.copytree(home, tmp_path / "copy")
    time.sleep(0.01)  # a tick of the file system's clock
    same, second = record(home, "b", "c")
    assert same == epoch
    restore(home, tmp_path / "copy")
    other, third = record(home, "d")
    assert other != epoch
    assert third[0] > second[-1] > first[0]
    assert record(home, "e") == (other, [third[0] + 1])


def test_on_another_machine(home: Path, tmp_path: Path) -> None:
    """A copy of all of it, or of the file alone, made in the right way."""
    epoch, offsets = record(home, "a", "b")
    shutil.copytree(home, tmp_path / "all")
    (tmp_path / "alone").mkdir()
    with closing(sqlite3.connect(home / NAME)) as source, closing(sqlite3.connect(tmp_path / "alone" / NAME)) as target:
        source.backup(target)
    epochs = {epoch}
    for place in ("all", "alone"):
        other, after = record(tmp_path / place, "c")
        epochs.add(other)
        assert after[0] > offsets[-1]
        with closing(sqlite3.connect(tmp_path / place / NAME)) as file:
            kept = [row[0] for row in file.execute("SELECT offset FROM events ORDER BY offset")]
        assert kept == [*offsets, *after]
    assert len(epochs) == 3
    assert record(home, "c") == (epoch, [offsets[-1] + 1])


def test_a_plain_copy_of_the_open_file(home: Path, tmp_path: Path) -> None:
    """What is in the log only is not in it: it has no tables, or lacks the end."""
    store = Store(home)
    commit: Callable[[str], Commit] = lambda name: store.use(  # noqa: E731
        lambda journal: journal.commit([arrival(name)], journal.last_offset)
    )
    commit("a")
    epoch = store.use(lambda journal: journal.epoch)
    shutil.copy(home / NAME, tmp_path / "without tables")
    commit("b")
    store.close()
    store = Store(home)
    last = commit("c").entries[-1].offset
    shutil.copy(home / NAME, tmp_path / "without the end")
    store.close()
    for name in ("without tables", "without the end"):
        shutil.copy(tmp_path / name, home / NAME)
        other, offsets = record(home, name)
        assert other != epoch
        assert offsets[0] > last
        epoch, last = other, offsets[0]


@pytest.mark.parametrize("copied", ["nothing", "touched", "moved"])
def test_it_is_the_same(home: Path, copied: str) -> None:
    """After an end in good order, whatever was looked at meanwhile."""
    epoch, offsets = record(home, "a")
    if copied == "touched":
        os.utime(home / NAME, (1, 1))
        with closing(sqlite3.connect(home / NAME)) as file:
            file.execute("SELECT count(*) FROM events").fetchall()
            file.execute("VACUUM")
    if copied == "moved":
        home.rename(home.with_name("elsewhere"))
        home.with_name("elsewhere").rename(home)
    assert record(home, "b") == (epoch, [offsets[0] + 1])


def test_a_journal_from_before_marks(home: Path) -> None:
    """Is taken as it is, once."""
    epoch, offsets = record(home, "a")
    with closing(sqlite3.connect(home / NAME)) as file:
        file.execute("DELETE FROM meta WHERE key = 'origin'")
        file.commit()
    for suffix in ("mark", "origin"):
        Path(f"{home / NAME}-{suffix}").unlink()
    assert record(home, "b") == (epoch, [offsets[0] + 1])
    Path(f"{home / NAME}-mark").unlink()
    assert record(home, "c")[0] != epoch


def test_two_that_have_it_open(home: Path) -> None:
    """In a roll each notes how far it has come; both find the same journal."""
    one, two = Store(home), Store(home)
    for number, store in enumerate([one, two, two, one]):
        store.use(lambda journal, number=number: journal.commit([arrival(number)], 0))  # type: ignore[misc]
    epochs = {store.use(lambda journal: journal.epoch) for store in (one, two)}
    one.close()
    two.close()
    assert {record(home, "more")[0]} == epochs


def test_written_over_while_it_is_open(home: Path, tmp_path: Path) -> None:
    """It is set aside, and a new one is begun."""
    record(home, *map(str, range(300)))
    shutil.copy(home / NAME, tmp_path / "copy")
    store = Store(home)
    done = store.use(lambda journal: journal.commit([arrival("late")], journal.last_offset))
    known = done.entries[-1].offset
    epoch = store.use(lambda journal: journal.epoch)
    with closing(sqlite3.connect(home / NAME)) as file:  # another program, by SQLite's own means
        file.execute("DELETE FROM events WHERE id = 'late'")
        file.commit()
    after = store.use(lambda journal: journal.commit([arrival("next")], known if journal.epoch == epoch else 0))
    assert after.entries[-1].offset > known
    assert store.use(lambda journal: journal.epoch) != epoch
    assert list(home.glob("*.damaged-*"))
    store.close()


WRITER = """
import sys
from pathlib import Path
from actors.call_events.journal.store import Store
from tests.call_events.samples import arrival
store, number = Store(Path(sys.argv[1])), 0
print(store.use(lambda journal: journal.epoch), flush=True)
while True:
    number += 1
    name = f"{sys.argv[2]}-{number}"
    store.use(lambda journal: journal.commit([arrival(name)], journal.last_offset))
    print(name, flush=True)
"""


@pytest.mark.slow
def test_killed_again_and_again(home: Path) -> None:
    """Nothing that was acknowledged is lost, and it stays the same journal."""
    acknowledged: list[str] = []
    epochs = set()
    for number in range(6):
        command = [sys.executable, "-c", WRITER, str(home), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            epochs.add(writer.stdout.readline())
            acknowledged += [writer.stdout.readline().strip() for _ in range(20)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
    assert len(epochs) == 1
    with closing(sqlite3.connect(home / NAME)) as file:
        kept = [row[0] for row in file.execute("SELECT id FROM events ORDER BY offset")]
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))


def test_file_systems_that_forget_fractions(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole seconds are enough to be the same, where there is nothing else."""
    mark = Watermark(home / NAME)
    noted = mark.origin()
    assert mark.is_origin(noted)
    assert not mark.is_origin(str(int(noted) - 1))
    assert not mark.is_origin("nonsense")
    real = Path.stat

    def whole_seconds(path: Path) -> os.stat_result:
        found = real(path)
        return _Rounded(found.st_ctime_ns // 10**9 * 10**9)  # type: ignore[return-value]

    monkeypatch.setattr(Path, "stat", whole_seconds)
    assert mark.is_origin(noted)


class _Rounded:
    def __init__(self, st_ctime_ns: int) -> None:
        self.st_ctime_ns = st_ctime_ns


@pytest.fixture
def full(home: Path) -> Path:
    """A place where no mark can be made."""
    Path(f"{home / NAME}-mark").mkdir()
    return home


def test_a_mark_that_can_not_be_written(full: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Is said once; events are taken all the same."""
    store = Store(full)
    for name in "abc":
        assert store.use(
            lambda journal, name=name: journal.commit([arrival(name)], journal.last_offset).taken  # type: ignore[misc]
        ) == [True]
    store.close()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
