"""The journal's size holds, whatever comes; a flood gives way before anything else, and its own call's first."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trio

from actors.call_events.journal import schema
from actors.call_events.journal import writer as recorder_module
from actors.call_events.journal.journal import Journal
from actors.call_events.journal.pruning import FAIR, STEP_BY_SIZE, Gone
from actors.call_events.journal.schema import AUDIT, FLOODS, OTHERS
from actors.call_events.journal.writer import JournalWriter
from config.settings import EventSettings
from patchbay.bus.pending_events import FLOOD_TYPES
from tests.call_events.samples import arrival

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.call_events.journal.journal import Commit

MIB = 1024 * 1024
NOW = time.time_ns() // 1000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "j")) as opened:
        yield opened


def fill(journal: Journal, count: int, call: str, kind: str, note: str = "", *, at: int = NOW) -> None:
    known = journal.last_offset
    names = [f"{call} {kind} {known} {number}" for number in range(count)]
    journal.commit([arrival(name, call, kind, note=note, received_at=at) for name in names], known)


def prune(journal: Journal, max_bytes: int = 1, *, times: int = 1, fresh: int = 0) -> Gone:
    gone: Gone = Gone()
    for _ in range(times):
        gone += journal.prune(before=0, max_bytes=max_bytes, fresh=fresh)[1]
    return gone


def test_each_kind_of_event_has_a_room(journal: Journal) -> None:
    """Floods are those that senders take for such."""
    fill(journal, 1, "v3:a", "call.answered")
    for kind in (*FLOOD_TYPES, "listener.joined", "listener.left", "floor.taken", "floor.released", "stream.started"):
        fill(journal, 1, "v3:a", kind)
    rooms = dict(journal._db.execute("SELECT type, room FROM events").fetchall())
    assert {kind for kind, room in rooms.items() if room == FLOODS} == FLOOD_TYPES
    assert {kind for kind, room in rooms.items() if room == OTHERS} == {"call.answered", "stream.started"}
    assert len([room for room in rooms.values() if room == AUDIT]) == 4


def test_the_call_with_most_floods_gives_way_first(journal: Journal) -> None:
    """Down to its fair share; with its oldest."""
    fill(journal, 50, "v3:old", "stream.mark")
    fill(journal, 50, "v3:old", "listener.joined")
    fill(journal, 500, "v3:more", "stream.dtmf")
    fill(journal, 700, "v3:most", "stream.mark")
    fair = FAIR[FLOODS]
    assert prune(journal) == {("v3:most", "stream.mark"): 700 - fair}
    assert prune(journal) == {("v3:more", "stream.dtmf"): 500 - fair}


def test_then_the_oldest_floods_then_others_then_who_heard(journal: Journal) -> None:
    """In this order, and of each room the oldest; never the last of all."""
    day = 86_400 * 10**6
    fill(journal, 10, "v3:a", "listener.joined", at=NOW - day)
    fill(journal, 10, "v3:b", "call.answered", at=NOW - day)
    fill(journal, 10, "v3:a", "stream.dtmf", at=NOW)
    fill(journal, 10, "v3:c", "call.answered", at=NOW)
    gone = [prune(journal, fresh=NOW - day // 2) for _ in range(6)]
    assert [dict(each) for each in gone] == [
        {("v3:a", "stream.dtmf"): 10},
        {("v3:b", "call.answered"): 10},
        {("v3:a", "listener.joined"): 10},
        {("v3:c", "call.answered"): 9},
        {},
        {},
    ]
    assert journal._db.execute("SELECT count(*) FROM events").fetchone() == (1,)


@pytest.mark.parametrize("kind", ["stream.mark", "call.answered", "listener.joined"])
def test_the_size_holds_for_what_is_fresh_too(kind: str, journal: Journal) -> None:
    """A flood of whatever there is, of one call, within a minute."""
    for _ in range(10):
        fill(journal, 500, "v3:a", kind, "x" * 1000)
        while journal.used_bytes > MIB and prune(journal, MIB, fresh=NOW - 600 * 10**6):
            pass
        assert journal.used_bytes <= MIB


def test_a_step_costs_the_same_however_much_there_is(journal: Journal) -> None:
    """So many events at once."""
    fill(journal, 3 * STEP_BY_SIZE, "v3:a", "stream.mark")
    assert prune(journal).total() == STEP_BY_SIZE


def test_what_is_fair_is_looked_at_now_and_then(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes a look at all there is."""
    fill(journal, 10, "v3:a", "stream.mark")
    looks: list[int] = []

    def look(last: int) -> Gone:
        looks.append(last)
        return Gone()

    monkeypatch.setattr(journal._by_size, "_more_than_fair", look)
    prune(journal, times=5)
    assert len(looks) == 1


async def test_a_full_journal_is_pruned_at_once_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of which call how many of which type had to go; who heard is still there."""
    monkeypatch.setattr(recorder_module, "PRUNED_TOLD_S", 0.3)
    commits: list[Commit] = []
    recorder = JournalWriter(tmp_path, EventSettings(journal_max_mb=1), lambda opened: None, commits.append)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(recorder.run)
            await recorder.ready.wait()
            await recorder.record([arrival(f"a{number}", "v3:a", "listener.joined") for number in range(20)])
            for batch in range(8):
                names = [f"{batch} {number}" for number in range(400)]
                await recorder.record([arrival(name, "v3:a", "stream.mark", note="x" * 1000) for name in names])
            told: list[str] = []
            while not told:
                await trio.sleep(0.02)
                told = [
                    entry.text.decode()
                    for commit in commits
                    for entry in commit.entries
                    if b"events.pruned" in entry.text
                ]
            await recorder.refresh()
            nursery.cancel_scope.cancel()
    assert '"pruned":{"stream.mark":' in told[0]
    assert "v3:a" in told[0]
    assert recorder.counters["events_pruned_by_size"] > 1000
    assert "the journal is full" in caplog.text
    with closing(Journal(tmp_path / "journal.sqlite3")) as left:
        assert left.used_bytes < 2 * MIB
        kinds = dict(left._db.execute("SELECT type, count(*) FROM events GROUP BY type").fetchall())
        assert kinds["listener.joined"] == 20


def test_an_older_file_gets_its_rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that is in it."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "VERSION", 2)
        with closing(Journal(tmp_path / "j")) as older:
            fill(older, 3, "v3:a", "stream.mark")
    with closing(Journal(tmp_path / "j")) as newer:
        assert newer._db.execute("SELECT room FROM events").fetchall() == [(FLOODS,)] * 3
