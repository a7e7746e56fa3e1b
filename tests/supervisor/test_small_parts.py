"""History, crash reports, formatting and the run directory: what the larger tests do not look at closely."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

import pytest
import trio

from supervisor.actors.crashes import REPORTS_MAX, CrashReports, last_line
from supervisor.commands import formatting, output
from supervisor.history import FOLLOWER_BACKLOG, History
from supervisor.run_directory import AlreadyRunningError, RunDir, SavedProcess
from supervisor.sockets import PortTakenError, listen_tcp
from tests.supervisor.fakes import SPEC, FakeProcess

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_follower_that_does_not_read_holds_up_nobody() -> None:
    history = History()
    with history.follow() as entries:
        for number in range(FOLLOWER_BACKLOG + 5):
            history.record("fanout.0", str(number))
        assert history.missed_by_followers == 5
        assert (await entries.receive()).why == "0"
    history.record("fanout.0", "nobody follows any more")
    assert history.missed_by_followers == 5


def test_the_last_of_one_actor() -> None:
    history = History(wall=lambda: 1.5)
    for number in range(30):
        history.record(f"fanout.{number % 2}", str(number))
    assert [entry.why for entry in history.last("fanout.1", 2)] == ["27", "29"]
    assert len(history.last(limit=0)) == 0
    other = History()
    other.restore(entry.as_json() for entry in history.last(limit=3))
    assert other.last() == history.last(limit=3)


async def test_crash_reports_are_bounded(tmp_path: Path) -> None:
    reports = CrashReports(tmp_path)
    for generation in range(REPORTS_MAX + 3):
        process = FakeProcess(SPEC, generation + 100, ready=True, obedient=True)
        assert reports.write(process, "why", []) is not None
    kept = sorted(path.name for path in (tmp_path / "crashes").iterdir())
    assert len(kept) == REPORTS_MAX
    assert kept[-1].endswith(f"-fanout.0-{REPORTS_MAX + 102}.txt")


async def test_a_disk_that_takes_no_report(tmp_path: Path) -> None:
    (tmp_path / "crashes").touch()
    process = FakeProcess(SPEC, 1, ready=True, obedient=True)
    assert CrashReports(tmp_path).write(process, "why", []) is None


async def test_the_last_line() -> None:
    process = FakeProcess(SPEC, 1, ready=True, obedient=True)
    process.status = "warming up"
    assert last_line(process) == "warming up"
    process.words = b"first\nthe reason\n\nFatal Python error: Aborted\n\nStack:\n  File x\n"
    assert last_line(process) == "the reason"


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0s"), (59, "59s"), (61, "1m01s"), (3723, "1h02m")])
def test_durations(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_hosts_in_urls() -> None:
    assert formatting.url_host("0.0.0.0") == "localhost"
    assert formatting.url_host("::1") == "[::1]"
    assert formatting.url_host("127.0.0.1") == "127.0.0.1"


def test_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "run"
    first = RunDir.acquire(path)
    with pytest.raises(AlreadyRunningError, match=f"pid {os.getpid()}"):
        RunDir.acquire(path)
    first.remove()
    assert not path.exists()
    second = RunDir.acquire(path)
    (path / "somebody's").touch()
    second.remove()
    assert [entry.name for entry in path.iterdir()] == ["somebody's"]


def test_the_note(tmp_path: Path) -> None:
    run_dir = RunDir.acquire(tmp_path)
    assert run_dir.read_state() is None
    actor = SavedProcess("fanout", 1, 7, 8, 9)
    run_dir.write_state({"fanout.1": 9}, [actor])
    note = run_dir.read_state()
    assert note is not None
    assert note.actors == (actor,)
    assert note.actors[0].instance == "fanout.1"
    (tmp_path / "state.json").write_text("{")
    assert run_dir.read_state() is None
    run_dir.remove()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_addresses(host: str) -> None:
    with listen_tcp(host, 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port}"):
            listen_tcp(host, port)


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(PortTakenError, match=r"can't listen on 203\.0\.113\.1"):
        listen_tcp("203.0.113.1", 0)


async def test_change() -> None:
    history = History()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.wait_changed)
        await trio.testing.wait_all_tasks_blocked()
        history.record("fanout.0", "something")


NASTY = "\x1b[2J\x9b1m\r\u202ex\nforged"


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_that_peers_say_reaches_a_terminal(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be in an exception's last line, which is the reason of a transition, or in what a process says of
    itself."""
    options = argparse.Namespace(json=as_json)
    entry = {"at": 0.0, "actor": "fanout.0", "generation": 1, "before": "READY", "after": "BACKOFF", "why": NASTY}
    assert output.show(options, {"ok": True, **entry}, formatting.event) == 0
    assert output.show(options, {"ok": False, "error": NASTY}, formatting.event) == 1
    assert output.fail(options, NASTY, 3) == 3
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert all(line.isprintable() for line in shown.split("\n"))
    assert shown.count("\n") == (3 if as_json else 4)  # an error of ours may have several lines


async def test_nor_by_a_crash_report(tmp_path: Path) -> None:
    """Which is text that somebody shows."""
    process = FakeProcess(SPEC, 1, ready=True, obedient=True)
    process.words = f"ValueError: {NASTY}".encode()
    process.status = NASTY
    path = CrashReports(tmp_path).write(process, NASTY, [])
    assert path is not None
    assert all(line.isprintable() for line in path.read_text().split("\n"))
    assert last_line(process).isprintable()
