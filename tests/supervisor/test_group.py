"""All actors of a supervisor, with processes that are none: found, rolled, added, removed, stopped in order."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from config import load
from supervisor.actors.exits import Exit
from supervisor.actors.group import ActorGroup
from supervisor.actors.states import State
from supervisor.configuration.specs import ActorSpec
from supervisor.history import History
from supervisor.run_directory import RunDir, surviving_processes
from supervisor.takeover.handles import Handles
from tests.supervisor.fakes import FakeLauncher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.supervisor.fakes import FakeProcess

SPECS = (
    ActorSpec("journal", 0, command=("nothing",), endpoints=("pub",)),
    ActorSpec("fanout", 0, command=("nothing",), after=("journal",)),
    ActorSpec("fanout", 1, command=("nothing",), after=("journal",), restart_with=("journal",)),
)


class World:
    """A group with real sockets in a run directory, and a launcher that starts nothing."""

    def __init__(self, directory: Path) -> None:
        settings = load({"PATCHBAY_RUN_DIR": str(directory / "run"), "PATCHBAY_DATA_DIR": str(directory)})
        self.run_dir = directory / "run"
        self.handles = Handles.open(RunDir.acquire(self.run_dir), settings)
        self.launcher = FakeLauncher()
        self.history = History(wall=trio.current_time)
        self.group = ActorGroup(SPECS, self.launcher, self.history, self.handles, settings, trio.current_time())

    def process(self, instance: str) -> FakeProcess:
        """Return the last process of an actor that was started."""
        return [each for each in self.launcher.started if each.instance == instance][-1]

    def states(self) -> list[State]:
        return [actor.current.state for actor in self.group.values()]


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[World]:
    world = World(directory)
    try:
        await world.group.open_sockets(trio.current_time())
        async with trio.open_nursery() as nursery:
            world.group.run_in(nursery)
            await wait_all_tasks_blocked()
            yield world
            nursery.cancel_scope.cancel()
    finally:
        world.handles.close(remove_files=True)


async def test_names(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert list(world.group) == ["journal.0", "fanout.0", "fanout.1"]
        assert [actor.spec.index for actor in world.group.find("fanout")] == [0, 1]
        assert world.group.find("fanout.1") == [world.group["fanout.1"]]
        assert world.group.find("nobody") == []


async def test_a_roll_that_fails_is_recorded_and_the_others_are_rolled(tmp_path: Path, autojump_clock: object) -> None:
    async with running(tmp_path) as world:
        world.launcher.next_ones = [{"ready": False}, {}]
        world.launcher.started.clear()
        reports = await world.group.roll(world.group.find("fanout"), "why not", recorded_as="somebody")
        assert [report.ok for report in reports] == [False, True]
        told = [entry.why for entry in world.history.last("somebody")]
        assert told == [f"fanout.0: {reports[0].text}"]
        assert world.group["fanout.1"].current.generation == 2


async def test_dependents_are_restarted(tmp_path: Path) -> None:
    """Those that name an actor in `restart_with`, whether it was restarted or has crashed."""
    async with running(tmp_path) as world:
        world.process("journal.0").end(Exit(code=1))
        await wait_all_tasks_blocked()
        generations = {name: actor.current.generation for name, actor in world.group.items()}
        assert generations == {"journal.0": 2, "fanout.0": 1, "fanout.1": 2}


async def test_notifications_go_to_their_process(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        world.process("fanout.1").pid = 77
        world.group.on_notification(77, {"STATUS": "well"})
        world.group.on_notification(1, {"STATUS": "nobody's"})
        assert [world.process(name).status for name in world.group] == ["", "", "well"]


async def test_one_is_added_and_removed(tmp_path: Path) -> None:
    """With its sockets, and in the state file."""
    async with running(tmp_path) as world:
        world.group.add(ActorSpec("talk", 0, command=("nothing",), endpoints=("in",)))
        await wait_all_tasks_blocked()
        assert (world.run_dir / "talk.0.a.in").is_socket()
        await world.group.remove("talk.0")
        assert "talk.0" not in world.group
        assert not (world.run_dir / "talk.0.a.in").exists()
        assert (world.run_dir / "journal.0.b.pub").is_socket()


async def test_the_state_file_names_processes_that_run(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        state = world.handles.run_dir.read_state()
        assert state is not None
        assert state.generations == {"journal.0": 1, "fanout.0": 1, "fanout.1": 1}
        assert [each.instance for each in state.actors] == list(world.group)
        assert surviving_processes(world.run_dir) == []  # none of these is real


async def test_stop_in_order(tmp_path: Path, autojump_clock: object) -> None:
    """The last started first; one that does not end has its share of the time and no more."""
    async with running(tmp_path) as world:
        world.process("fanout.0").obedient = False
        began = trio.current_time()
        await world.group.stop_in_order(4.0)
        assert trio.current_time() - began == pytest.approx(2.0)
        assert world.states() == [State.STOPPED] * 3
        stopped = [entry.actor for entry in world.history.last(limit=100) if entry.after == "STOPPED"]
        assert stopped[-1] == "journal.0"


async def test_quiet(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert world.group.is_quiet()
        assert world.group.not_ready() == []
        world.launcher.next_ones = [{"ready": False}]
        world.process("fanout.0").end(Exit(code=1))
        await wait_all_tasks_blocked()
        assert world.group.not_ready() == ["fanout.0"]
        assert not world.group.is_quiet()
