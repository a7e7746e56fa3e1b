"""Spare processes: kept, made anew, and standing in for actors that have crashed."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from supervisor.actors.launcher import spawn
from supervisor.actors.spares import RETRY_S, Spares
from supervisor.procfs import start_time
from tests.supervisor.fakes import open_descriptors
from tests.supervisor.running import Running, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Says that it is loaded, and writes what it is ordered to where it is ordered to.
PROGRAM = """
import json, os, socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
link.send(b"loaded")
packet, fds, _, _ = socket.recv_fds(link, 65536, 64)
if packet:
    os.write(fds[1], packet)
    os.write(fds[1], os.read(fds[0], 100))
"""
MUTE = "import sys, socket; socket.socket(fileno=int(sys.argv[1])).recv(100)"


class Started:
    """Spares of such a program, and all processes that there ever were."""

    def __init__(self, program: str = PROGRAM) -> None:
        self.program = program
        self.pids: list[int] = []
        self.spares = Spares(self._spawn)

    def _spawn(self, fd: int) -> int:
        if not self.program:
            raise FileNotFoundError(2, "No such file or directory")
        self.pids.append(spawn((sys.executable, "-S", "-c", self.program, str(fd)), os.environ, [fd]))
        return self.pids[-1]

    def alive(self) -> list[int]:
        return [pid for pid in self.pids if start_time(pid) is not None]

    def looks(self, wanted: int, now: float) -> bool:
        """For `until`: look once more, and say whether as many are alive."""
        self.spares.poll(wanted, now, may_start=False)
        return len(self.alive()) == wanted and not self.spares._ending

    def close(self) -> None:
        self.spares.renew()
        until(lambda: self.looks(0, 0.0), "all have gone")


@pytest.fixture
def started() -> Iterator[Started]:
    with closing(Started()) as made:
        yield made


def fill(started: Started, wanted: int, now: float = 0.0) -> None:
    def filled() -> bool:
        started.spares.poll(wanted, now)
        return len(started.spares) == wanted

    until(filled, "they are loaded")


def test_one_becomes_an_actor(started: Started) -> None:
    """With its name, its environment and its descriptors."""
    fill(started, 2)
    (read, write), (other_read, other_write) = os.pipe(), os.pipe()
    os.write(write, b"hello")
    pid = started.spares.assign("fanout", ("python", "fanout"), {"A": "1"}, {"pub": read, "crashlog": other_write})
    assert pid == started.pids[0]
    order = {"name": "fanout", "command": ["python", "fanout"], "environ": {"A": "1"}, "fds": ["pub", "crashlog"]}
    until(lambda: os.waitid(os.P_PID, started.pids[0], os.WEXITED | os.WNOHANG), "it is done")
    said, _, rest = os.read(other_read, 1000).rpartition(b"}")
    assert (json.loads(said + b"}"), rest) == (order, b"hello")
    assert len(started.spares) == 1
    for fd in (read, write, other_read, other_write):
        os.close(fd)


def test_one_that_is_not_loaded_is_of_no_use() -> None:
    with closing(Started(MUTE)) as started:
        started.spares.poll(1, 0.0)
        assert started.spares.assign("fanout", (), {}, {}) is None
        assert len(started.alive()) == 1


def test_one_that_has_gone_is_passed_over(started: Started) -> None:
    fill(started, 2)
    os.kill(started.pids[0], signal.SIGKILL)
    until(lambda: not started.spares._waiting[0].is_loaded() or is_zombie(started.pids[0]), "it is gone")
    read, write = os.pipe()
    assert started.spares.assign("fanout", (), {}, {"pub": read, "crashlog": write}) == started.pids[1]
    assert started.spares.assign("fanout", (), {}, {}) is None
    until(lambda: os.waitid(os.P_PID, started.pids[1], os.WEXITED | os.WNOHANG), "it is done")
    os.close(read)
    os.close(write)


def is_zombie(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def test_one_at_a_time_as_many_as_are_wanted(started: Started) -> None:
    started.spares.poll(2, 0.0, may_start=False)
    assert started.pids == []
    for count in (1, 2, 2):
        for _ in range(2):
            started.spares.poll(2, 0.0)
        assert len(started.pids) == count
        until(lambda count=count: len(started.spares) == count, "it is loaded")  # type: ignore[misc]
    until(lambda: started.looks(1, 0.0), "the other has gone")
    assert started.alive() == started.pids[:1]


def test_one_that_dies_is_replaced_after_a_while(started: Started) -> None:
    """Or a program that does not load would take half a second of a processor all the time."""
    fill(started, 1)
    os.kill(started.pids[0], signal.SIGKILL)
    until(lambda: is_zombie(started.pids[0]), "it has ended")
    started.spares.poll(1, 10.0)
    started.spares.poll(1, 10.0 + RETRY_S - 0.1)
    assert len(started.pids) == 1
    started.spares.poll(1, 10.0 + RETRY_S)
    assert len(started.pids) == 2


def test_a_program_that_is_not_there(started: Started, caplog: pytest.LogCaptureFixture) -> None:
    started.program = ""
    before = open_descriptors()
    for now in (0.0, 1.0, RETRY_S):
        started.spares.poll(1, now)
    assert caplog.text.count("no spare process") == 2
    assert open_descriptors() == before


async def test_all_end_with_the_task(started: Started) -> None:
    """Also those that were just ended, and nothing is left of them."""
    before = open_descriptors()
    fill(started, 2)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(started.spares.run, lambda: 2, lambda: False)
            await trio.testing.wait_all_tasks_blocked()
            assert len(started.alive()) == 2
            nursery.cancel_scope.cancel()
    assert started.alive() == []
    assert open_descriptors() == before


# ---- with a supervisor


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made = []

    def running(**settings: str) -> Running:
        made.append(Running(tmp_path, supervisor__spares="1", **settings))
        return made[-1]

    yield running
    for each in made:
        each.clean_up()


def spares(system: Running) -> list[int]:
    """The processes of a supervisor that are no actors."""
    supervisor = system.supervisor()
    if supervisor["spares"] == 0:
        return []
    children = Path(f"/proc/{supervisor['pid']}/task/{supervisor['pid']}/children").read_text(encoding="ascii")
    found = sorted({int(pid) for pid in children.split()} - {row["pid"] for row in system.actors().values()})
    system.seen |= set(found)
    return found


@pytest.mark.slow
def test_a_spare_stands_in_for_one_that_was_killed(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    for generation, name in ((2, "fanout.0"), (2, "ingest.0"), (3, "fanout.0")):
        [spare] = until(lambda: spares(system), "there is a spare")
        until(lambda name=name: system.actor(name)["in_state_s"] > 1.1, "it does not count as one that keeps crashing")  # type: ignore[misc]
        system.kill(name)
        system.until_ready(name, generation=generation, pid=spare)
        assert "by a spare" in system.run("explain", name).stdout
    system.stop(process)


@pytest.mark.slow
def test_others_have_none(make: Callable[..., Running]) -> None:
    system = make()
    process = system.start()
    [spare] = until(lambda: spares(system), "there is a spare")
    system.kill("console.0")
    assert system.until_ready("console.0", generation=2)["pid"] != spare
    assert spares(system) == [spare]
    assert ", 1 to stand in, http://" in system.run("status").stdout
    system.stop(process)


@pytest.mark.slow
def test_what_is_planned_makes_them_anew(make: Callable[..., Running]) -> None:
    """The program may be another by now; whoever stands in must not bring the old one back."""
    system = make()
    process = system.start()
    [before] = until(lambda: spares(system), "there is a spare")
    assert system.ask("roll", name="fanout")["ok"]
    until(lambda: start_time(before) is None, "it has gone")
    [after] = until(lambda: spares(system), "there is another")
    assert system.actor("fanout.0")["pid"] not in (before, after)
    system.stop(process)


@pytest.mark.slow
def test_one_that_crashes_again_is_started_from_the_program(make: Callable[..., Running]) -> None:
    """The spares may be what is wrong."""
    system = make()
    system.ways.write_text("fanout.0:exit=1@2")
    process = system.start()
    [spare] = until(lambda: spares(system), "there is a spare")
    system.kill("fanout.0")
    until(lambda: system.actor("fanout.0")["generation"] >= 4, "it was tried three times")
    system.ways.write_text("")
    assert system.until_ready("fanout.0")["pid"] != spare
    assert system.run("explain", "fanout").stdout.count("by a spare") == 1
    system.stop(process)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "replace"])
def test_they_go_with_their_supervisor(make: Callable[..., Running], how: str) -> None:
    system = make()
    process = system.start()
    [spare] = until(lambda: spares(system), "there is a spare")
    if how == "kill":
        process.kill()
        process.wait()
        process = system.start()
    else:
        assert system.ask("replace")["ok"]
    until(lambda: start_time(spare) is None, "it has gone")
    until(system.answers, "the next one answers")
    [other] = until(lambda: spares(system), "the next one has its own")
    system.kill("fanout.0")
    system.until_ready("fanout.0", generation=2, pid=other)
    system.stop(process)
